"""Read the directory of an account, paced and counted like any other request."""

from __future__ import annotations

from pydantic import SecretStr

from usersync.context import Clock, Stopping
from usersync.dispatch.rate_limit import RateLimiter
from usersync.dispatch.sender import RequestCounts
from usersync.platform.api import NoResponse, RateLimited, Response, read_response
from usersync.platform.client import HttpClient
from usersync.platform.directory import Directory, DirectoryUnavailable, parse_directory, request_directory
from usersync.platform.quota import read_quota
from usersync.settings import Settings


class DirectoryReader:
    """Reads the users of one account; `token` is the one of a user of that account."""

    def __init__(
        self,
        settings: Settings,
        account: int,
        token: SecretStr,
        *,
        limiter: RateLimiter,
        counts: RequestCounts,
        clock: Clock,
    ) -> None:
        self._settings, self._account, self._token = settings, account, token
        self._limiter, self._counts, self._clock = limiter, counts, clock

    async def read(self) -> Directory | DirectoryUnavailable:
        """Read the list once; only a 429, which is nobody's fault, is tried again."""
        try:
            async with HttpClient(self._settings, self._token) as client:
                response = await self._send(client)
                for _ in range(self._settings.request.retries):
                    if not (isinstance(response, Response) and response.status == 429):
                        break
                    self._counts.retried += 1
                    response = await self._send(client)
        except Stopping:
            return DirectoryUnavailable("the run stopped first")
        return parse_directory(response, self._account, (self._token.get_secret_value(),))

    async def _send(self, client: HttpClient) -> Response | NoResponse:
        started = await self._limiter.acquire()
        self._counts.get += 1
        max_bytes = self._settings.platform.directory_max_bytes
        response = await request_directory(client, self._account, max_bytes=max_bytes)
        self._record(started, response)
        return response

    def _record(self, started: float, response: Response | NoResponse) -> None:
        if isinstance(response, NoResponse):
            self._counts.responses[None] += 1
            self._limiter.record(started, "error")
            return
        now = self._clock.now()
        self._counts.responses[response.status] += 1
        quota = read_quota(response.headers, now)
        if response.status == 429:
            answer = read_response(response, now)
            after = answer.after if isinstance(answer, RateLimited) else None
            self._counts.throttled += 1
            self._limiter.record(started, "throttled", after=after or 0.0, quota=quota)
            return
        self._limiter.record(started, "error" if response.status >= 500 else "good", quota=quota)

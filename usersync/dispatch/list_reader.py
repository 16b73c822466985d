"""Read lists of users, at the rate and with the retries of other requests."""

from __future__ import annotations

from pydantic import SecretStr

from usersync.context import Context, Stopping
from usersync.dispatch.rate_limit import RateLimiter
from usersync.dispatch.retry import backoff
from usersync.dispatch.sender import RequestCounts
from usersync.models import Code
from usersync.platform.api import NoResponse, RateLimited, Response, read_response
from usersync.platform.client import HttpClient
from usersync.platform.directory import DIRECTORY_PATH, Directory, DirectoryUnavailable, parse_directory
from usersync.platform.quota import read_quota
from usersync.settings import Settings


class ListReader:
    """Reads lists over a connection of its own, with the limiter and the counts of all requests."""

    def __init__(self, settings: Settings, context: Context, *, limiter: RateLimiter, counts: RequestCounts) -> None:
        self._settings, self._context = settings, context
        self._limiter, self._counts = limiter, counts

    async def read_directory(
        self, account: int, token: SecretStr, *, retry_errors: bool = False
    ) -> Directory | DirectoryUnavailable:
        """Read the users of an account; `token` is the one of a user of that account."""
        try:
            response = await self.read(DIRECTORY_PATH.format(account=account), token, retry_errors=retry_errors)
        except Stopping:
            return DirectoryUnavailable("the run stopped first")
        return parse_directory(response, account, (token.get_secret_value(),))

    async def read(self, path: str, token: SecretStr, *, retry_errors: bool) -> Response | NoResponse:
        """Read the list at a path, and return the last response. Raises Stopping where the run stops.

        After a 429 the list is asked for again, after errors only with `retry_errors`: where the users cannot be read
        in any other way.
        """
        context = self._context
        async with HttpClient(self._settings, token) as client:
            for attempt in range(1, self._settings.request.retries + 1):
                response = await self._send(client, path)
                if not _is_throttled(response):  # else the limiter knows how long to wait
                    if not retry_errors or not _is_temporary(response):
                        return response
                    await context.stop.wait(context.clock.sleep(backoff(attempt, None, context.random)))
                self._counts.retried += 1
            return await self._send(client, path)

    async def _send(self, client: HttpClient, path: str) -> Response | NoResponse:
        started = await self._limiter.acquire()
        self._counts.get += 1
        response = await client.get(path, max_bytes=self._settings.platform.directory_max_bytes)
        self._record(started, response)
        return response

    def _record(self, started: float, response: Response | NoResponse) -> None:
        if isinstance(response, NoResponse):
            self._counts.responses[None] += 1
            self._limiter.record(started, "error")
            return
        now = self._context.clock.now()
        self._counts.responses[response.status] += 1
        quota = read_quota(response.headers, now)
        if _is_throttled(response):
            answer = read_response(response, now)
            after = answer.after if isinstance(answer, RateLimited) else None
            self._counts.throttled += 1
            self._limiter.record(started, "throttled", after=after or 0.0, quota=quota)
        else:
            self._limiter.record(started, "error" if response.status >= 500 else "good", quota=quota)


def _is_throttled(response: Response | NoResponse) -> bool:
    return isinstance(response, Response) and response.status == 429


def _is_temporary(response: Response | NoResponse) -> bool:
    """Return whether another attempt may succeed; a list that is too large or too slow stays so."""
    if isinstance(response, NoResponse):
        return response.code is Code.CONNECTION and not response.permanent
    return response.status >= 500

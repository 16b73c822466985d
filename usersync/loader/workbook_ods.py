"""The content of an .ods file in, its sheets out: values as shown, and `Marks`, in one pass."""


class Document:
    """Later."""

    def __init__(self, package: object, file: str) -> None:
        self.sheets: list[tuple[str, bool]] = []

"""Which names an index may have, and why not, in a node's words."""

FORBIDDEN = frozenset('\\/*?"<>| ,')
NAME_BYTES_MAX = 255


def invalid_name_reason(name: str) -> str | None:
    """None for a good name."""
    problem = _problem(name)
    return problem and f"Invalid index name [{name}], {problem}"


def _problem(name: str) -> str | None:
    if FORBIDDEN & set(name):
        listed = "[' ','\"','*',',','/','<','>','?','\\','|']"
        return f"must not contain the following characters {listed}"
    for character in "#:":
        if character in name:
            return f"must not contain '{character}'"
    if name[0] in "_-+":
        return "must not start with '_', '-', or '+'"
    name_bytes = len(name.encode())
    if name_bytes > NAME_BYTES_MAX:
        return f"index name is too long, ({name_bytes} > {NAME_BYTES_MAX})"
    if name in (".", ".."):
        return "must not be '.' or '..'"
    return None if name == name.lower() else "must be lowercase"

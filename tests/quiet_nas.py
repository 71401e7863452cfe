"""A network whose NAS do not answer: it keeps what the enforcer asked them to disconnect or to slow down."""

from admin.enforce.requests import WINDOW


class QuietNas:
    def __init__(self):
        self.told: list[tuple[str, int, int]] = []

    def room(self, address: str, port: int) -> int:
        return WINDOW

    def send(self, key: tuple[str, int, int], request) -> None:
        self.told.append(key)

    def wait(self, seconds: float) -> list:
        return []

    def close(self) -> None:
        pass

    def disconnected(self, card_id: int) -> set[int]:
        """The login numbers of a card's sessions that the enforcer asked to disconnect."""
        return {number for action, card, number in self.told if action == "disconnect" and card == card_id}

    def slowed_down(self, card_id: int) -> set[int]:
        return {number for action, card, number in self.told if action == "slow_down" and card == card_id}

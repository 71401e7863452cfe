"""Tries one schedule on a new card, or all schedules of some acts, and reports which fail."""

import json
import os
from typing import NamedTuple

from freeradius_module.rules.refusals import REFUSALS
from tests.interleaving.acts import ACTS
from tests.interleaving.steps import AGAIN, Explorer, Run, following, one_after_the_other
from tests.interleaving.world import CAUSE_AT, GRANTED_OCTETS_AT, GRANTED_SECONDS_AT, INTERIM, INTERIM_OCTETS, World

# In the short form, which make test has, the orders with one preemption, which find most mistakes (Musuvathi and Qadeer,
# 2007), and fewer for acts that have the same result in each serial order.  INTERLEAVINGS=all: every order, if they are not
# more than MOST; otherwise so many of them, and all with one preemption.  INTERLEAVINGS=100: the same with another number.
FORM = os.environ.get("INTERLEAVINGS", "")
IS_SHORT = not FORM
MOST, MOST_UNDISTURBED = (40, 4) if IS_SHORT else (int(FORM) if FORM.isdigit() else 300,) * 2


class Failure(NamedTuple):
    schedule: str  # its name
    faults: list[str]
    run: Run


def _permutations(names: str):
    if len(names) < 2:
        return [names]
    return [first + rest for first in names for rest in _permutations(names.replace(first, ""))]


class Trial:
    """Some acts on a card in a state."""

    def __init__(self, world: World, acts: tuple[str, ...], state: str):
        self.world = world
        self.acts = acts
        self.state = state
        self.letters = "ABC"[: len(acts)]
        self.name = "-".join((*acts, state))

    def once(self, choose) -> tuple[Run, dict, list[str]]:
        """One schedule: its steps, the state of the card, and the invariants that do not hold."""
        world = self.world
        case = world.case(self.state, any(ACTS[name].needs_target for name in self.acts))
        for side in world.sides.values():
            side.unanswered.clear()
        try:
            run = world.theatre.run(
                {
                    letter: (lambda act=ACTS[name], side=world.sides[letter]: act.run(side, case))
                    for letter, name in zip(self.letters, self.acts, strict=True)
                },
                choose,
            )
            for letter, name in zip(self.letters, self.acts, strict=True):
                if ACTS[name].is_periodic:
                    ACTS[name].run(world.sides[letter], case)
            after = world.look(case)
            faults = [f"raised: {outcome!r}" for outcome in run.outcomes if isinstance(outcome, BaseException)]
            faults += [
                f"unanswered: {name} in the end"
                for name, outcome in zip(self.acts, run.outcomes, strict=True)
                if outcome == AGAIN
            ]
            # A locked row is a reason for no answer; the database is never away here.
            faults += [
                f"unanswered: {why}" for side in world.sides.values() for why in side.unanswered if "locked" not in why
            ]
            faults += world.faults(case, after)
            outcomes = list(map(str, run.outcomes))
            if len(self.acts) > 2:
                # If there are several reasons to refuse a login, the logged one may have ended meanwhile.
                outcomes = ["refused" if outcome in REFUSALS else outcome for outcome in outcomes]
                for one in after.values():
                    one["refusals"] = sum(tries for _, tries in one["refusals"])
            return run, {"outcomes": outcomes} | after, faults
        finally:
            world.clear(case)

    def serial_orders(self) -> dict[str, dict]:
        return {order: self.once(one_after_the_other(order))[1] for order in _permutations(self.letters)}

    def failures(self) -> list[Failure]:
        """The schedules that failed; *counts* says how many were tried, and whether these were all."""
        orders = self.serial_orders()
        first, *others = orders.values()
        is_undisturbed = all(one == first for one in others)
        twins = "".join(
            letter for letter, name in zip(self.letters, self.acts, strict=True) if self.acts.count(name) > 1
        )
        most = MOST_UNDISTURBED if is_undisturbed else MOST
        explorer = Explorer(1 if IS_SHORT else None, most, twins)
        found: dict = {}

        def run(choose):
            found["run"], found["after"], found["faults"] = self.once(choose)
            return found["run"]

        failures = {}
        tried = set()
        explorers = [explorer]
        for one in explorers:
            for made in one.schedules(run):
                tried.add(made.schedule)
                if faults := found["faults"] + self._compared(orders, found["after"]):
                    failures[made.schedule] = Failure(f"{self.name}-{made.schedule}", faults, made)
            if not one.is_complete and not IS_SHORT and one is explorer:
                explorers.append(Explorer(1, twins=twins))
        self.counts = {
            "schedules": len(tried),
            "redundant": sum(one.redundant for one in explorers),
            "incomplete": not explorer.is_complete,
            "failed": len(failures),
        }
        return list(failures.values())

    def replay(self, schedule: str) -> Failure:
        run, after, faults = self.once(following(schedule))
        return Failure(f"{self.name}-{run.schedule}", faults + self._compared(self.serial_orders(), after), run)

    @staticmethod
    def _compared(orders: dict[str, dict], after: dict) -> list[str]:
        """The differences between the result and the nearest serial order."""
        differences = {order: _difference(expected, after) for order, expected in orders.items()}
        if not all(differences.values()):
            return []
        order = min(differences, key=lambda one: len(differences[one]))
        return [f"serial: no order gives this; unlike {order}: {'; '.join(differences[order])}"]


def _difference(expected: dict, found: dict) -> list[str]:
    words = []
    for part in expected:
        if isinstance(expected[part], dict):
            words += [
                f"{part}.{name} is {found[part][name]} and not {value}"
                for name, value in expected[part].items()
                if not (_are_alike(value, found[part][name]) if name == "sessions" else found[part][name] == value)
            ]
        elif expected[part] != found[part]:
            words.append(f"{part} are {found[part]} and not {expected[part]}")
    return words


def _are_alike(expected: list[tuple], found: list[tuple]) -> bool:
    """Whether sessions are equal.  Their grants may differ by what one packet reports, because a grant is decided on what
    was known before."""
    if len(expected) != len(found):
        return False
    return all(
        _is_alike(at, one, other)
        for left, right in zip(expected, found, strict=True)
        for at, (one, other) in enumerate(zip(left, right, strict=True))
    )


def _is_alike(at: int, one, other) -> bool:
    if one == other or (at == CAUSE_AT and {one, other} == {"granted", "exhausted"}):
        # A session that has used all that was left is due for both reasons; the first that is found stays.
        return True
    tolerances = {GRANTED_SECONDS_AT: INTERIM, GRANTED_OCTETS_AT: INTERIM_OCTETS}
    return at in tolerances and None not in (one, other) and abs(one - other) <= tolerances[at]


def told(failure: Failure) -> str:
    return json.dumps(
        {
            "schedule": failure.schedule,
            "faults": failure.faults,
            "outcomes": list(map(str, failure.run.outcomes)),
            "statements": failure.run.statements,
            "refusals": failure.run.refusals,
        },
        indent=1,
        ensure_ascii=False,
    )

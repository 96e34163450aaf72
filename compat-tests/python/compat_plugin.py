"""A pytest plugin: leaves out listed tests, and writes down the outcome of every test.

COMPAT_EXCLUDED  file of prefixes of test names, each with a reason
COMPAT_ONLY      file of test names; when not empty, only those run
COMPAT_PART      N/M: of those that are left, every Mth from number N on
COMPAT_OUTCOMES  file to write: name, tab, outcome
"""

import os

import pytest


def short(nodeid):
    """A test's name without the folder it was found in: file::class::test."""
    head, _, tail = nodeid.partition("::")
    return os.path.basename(head) + "::" + tail


def lines_of(path):
    with open(path, encoding="utf-8") as lines:
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def pytest_collection_modifyitems(config, items):
    excluded = [line.split(None, 1) for line in lines_of(os.environ["COMPAT_EXCLUDED"])]
    for line in excluded:
        if len(line) != 2:
            raise pytest.UsageError("an exclusion needs a reason: %s" % line)
        if not any(short(item.nodeid).startswith(line[0]) for item in items):
            raise pytest.UsageError("this exclusion matches no test: %s" % line[0])
    only = set(lines_of(os.environ["COMPAT_ONLY"]))
    kept, left_out = [], []
    for item in items:
        name = short(item.nodeid)
        out = any(name.startswith(prefix) for prefix, _ in excluded) or (only and name not in only)
        (left_out if out else kept).append(item)
    part, parts = map(int, os.environ["COMPAT_PART"].split("/"))
    left_out += [item for n, item in enumerate(kept) if n % parts != part]
    kept = kept[part::parts]
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


outcomes = {}


def pytest_runtest_logreport(report):
    name = short(report.nodeid)
    if report.failed:
        # The kind of failure, without numbers and paths that differ from run to run.
        crash = getattr(report.longrepr, "reprcrash", None)
        kind = crash.message.split("\n")[0].split(":")[0].split("(")[0] if crash else report.when
        outcomes[name] = "failed: " + kind.strip()
    elif report.skipped:
        outcomes[name] = "skipped: %s" % (report.longrepr[-1] if report.longrepr else "")
    elif report.when == "call":
        outcomes.setdefault(name, "passed")


def pytest_sessionfinish():
    with open(os.environ["COMPAT_OUTCOMES"], "w", encoding="utf-8") as out:
        for name in sorted(outcomes):
            out.write("%s\t%s\n" % (name, outcomes[name].replace("\n", " ").replace("\t", " ")))

#!/usr/bin/env python3
"""What stays of runs and what goes; and runs that may not begin at all."""

import json
import os
import signal

from dispatch import Dispatch, HOST, missing
from lib import ORIGIN, check, equal, finish, report, wait_for

REPO = "https://%s/git/demo.git" % HOST
WORK = "echo more >>README; git commit -qam work"


def reload(w, **change):
    """Another configuration for the dispatchd that runs."""
    before = len(w.disp_records("reload"))
    conf = w.dispatch_config(**change)
    with open(w.disp_conf, "w") as f:
        json.dump(conf, f)
    os.kill(w.disp_pid(), signal.SIGHUP)
    return wait_for(lambda: len(w.disp_records("reload")) > before and
                    w.disp_records("reload")[-1]["applied"], 10)


def known(w, ident):
    return w.cli("show", ident).returncode == 0


def files(w, ident):
    return os.path.isdir(os.path.join(w.dir, "state", "runs", ident))


def kept(w):
    """keep_runs: the oldest go, but a bundle that nobody fetched stays."""
    empty = w.detach("echo empty")
    w.over(empty)
    bundle = w.detach("--repo", REPO, WORK)
    s = w.over(bundle)
    check("a run with a bundle", s and s["bundle"]["bytes"] > 0, s)
    check("it found the networks of others closed",
          "siblings" in s["proof"], s["proof"])
    check("reload with keep_runs 1", reload(w, keep_runs=1))
    last = w.detach("echo last")
    w.over(last)
    check("the oldest one goes by itself",
          wait_for(lambda: not known(w, empty), 10))
    check("with its files", not files(w, empty))
    check("one whose bundle nobody has stays", known(w, bundle) and
          files(w, bundle))
    row = [r for r in w.disp_records("prune") if r["run"] == empty]
    check("it is on record why", row and row[0]["key"] == "keep_runs", row)
    path = os.path.join(w.dir, "fetched.bundle")
    p = w.cli("show", bundle, "--bundle", path)
    check("its bundle is fetched", p.returncode == 0 and
          os.path.getsize(path) == s["bundle"]["bytes"], p)
    check("and then it goes too", wait_for(lambda: not known(w, bundle), 10)
          and not files(w, bundle))
    check("the newest stays", known(w, last) and files(w, last))
    equal("rm", w.cli("rm", last).returncode, 0)
    row = w.disp_records("remove")
    check("rm is on record with who wanted it", row and
          row[-1]["run"] == last and row[-1]["peer"]["uid"] == 0, row)
    check("its files are gone", not files(w, last))


def reserve(w):
    ident = w.detach("echo begin; sleep 6; echo end")
    wait_for(lambda: w.json("show", ident)["state"] == "RUNNING", 30)
    check("reload with a disk_reserve that no disk has",
          reload(w, disk_reserve="1000000g"))
    p = w.cli("run", "--detach", "echo no")
    check("a new run is refused with the numbers", p.returncode == 4 and
          b"disk_reserve is 1000000g" in p.stderr, p)
    s = w.over(ident)
    equal("the one that runs is looked after", s and s["class"], "ok")
    check("reload", reload(w))
    equal("and then there is room again", w.cli("run", "true").returncode, 0)


def long_log(w):
    p = w.cli("run", "i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); done")
    want = b"".join(b"%d\n" % i for i in range(400))
    equal("many short lines, followed", p.stdout, want)
    ident = [x for x in p.stderr.decode().split() if len(x) == 12 and
             x.isalnum()][0]
    equal("and afterwards", w.cli("logs", ident, timeout=20).stdout, want)


def walls(w):
    """egressd does not do what a run needs of it: nothing begins."""
    conf = w.egress_config()
    peers = conf["peers"]
    conf["peers"] = [r for r in peers if r["user"] == "root"]
    w.stop_keeper()
    w.start(conf)
    p = w.cli("run", "echo no")
    check("egressd does not know the queue: lost_infra", p.returncode == 17,
          p)
    check("which says what to change", b"refused" in p.stderr and
          b"peers of egressd.conf" in p.stderr and b"run.open" in p.stderr, p)
    conf = w.egress_config()
    conf["profiles"] = {"other": conf["profiles"]["dev"]}
    w.stop_keeper()
    w.start(conf)
    p = w.cli("run", "echo no")
    check("egressd lacks the profile", p.returncode == 17 and
          b"egressd.conf lacks the profile dev" in p.stderr, p)
    conf = dict(w.egress_config(), nft=False)
    w.stop_keeper()
    w.start(conf)
    before = len(w.disp_records("proof"))
    p = w.cli("run", "echo no")
    check("egressd has no packet rules: boundary_violation",
          p.returncode == 18 and b"set nft in egressd.conf" in p.stderr, p)
    equal("and nothing was begun", (len(w.disp_records("proof")),
                                    w.engine.names()), (before, []))


def main():
    why = missing()
    if why:
        report("skip", "runs", why)
        finish()
    with Dispatch({HOST: ["A:" + ORIGIN]}) as w:
        w.start_dispatchd()
        kept(w)
        reserve(w)
        long_log(w)
        walls(w)
        out = w.cli("audit", "verify", w.disp_audit)
        equal("the records verify", out.returncode, 0)
    finish()


if __name__ == "__main__":
    main()

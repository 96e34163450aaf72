package quoll.compat;

import static quoll.compat.ApiSuite.OPEN;
import static quoll.compat.ApiSuite.bytes;

import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooKeeper;

/** Watches of all kinds: what fires, in which order, what stays, and their removal. */
final class ApiWatches {
  private ApiWatches() {}

  static void run(String server, ZooKeeper other, Transcript out) throws Exception {
    out.head("watches");
    ApiSuite.create(other, "/w");
    try (ZooKeeper zk = ApiSuite.connect(server, out, "watcher", new Events("default"))) {
      oneShot(zk, other, out);
      persistent(zk, other, out);
      removal(zk, other, out);
      defaultWatcher(server, other, out);
    }
    try (ZooKeeper zk = ApiSuite.connect(server, out, "watcher2", new Events("default"))) {
      removeAll(zk, other, out);
      acls(zk, other, out);
    }
  }

  private static void oneShot(ZooKeeper zk, ZooKeeper other, Transcript out) throws Exception {
    out.head("one shot");
    Events exists = new Events("exists");
    Events data = new Events("data");
    Events kids = new Events("kids");
    out.call("exists on absent", () -> zk.exists("/w/a", exists));
    out.call("data on absent", () -> zk.getData("/w/a", data, null));
    out.call("children on parent", () -> zk.getChildren("/w", kids));
    other.create("/w/a", bytes("1"), OPEN, CreateMode.PERSISTENT);
    exists.settle(out, zk);
    kids.settle(out, zk);
    zk.exists("/w/a", exists);
    zk.getData("/w/a", data, null);
    zk.getChildren("/w/a", kids);
    other.setData("/w/a", bytes("2"), -1);
    exists.settle(out, zk);
    data.settle(out, zk);
    other.setData("/w/a", bytes("3"), -1);
    other.setACL("/w/a", OPEN, -1);
    other.create("/w/a/k", null, OPEN, CreateMode.PERSISTENT);
    kids.settle(out, zk);
    zk.exists("/w/a", exists);
    zk.getData("/w/a", data, null);
    zk.getChildren("/w/a", kids);
    zk.getChildren("/w", kids);
    other.delete("/w/a/k", -1);
    kids.settle(out, zk);
    zk.getChildren("/w/a", kids);
    other.delete("/w/a", -1);
    exists.settle(out, zk);
    data.settle(out, zk);
    kids.settle(out, zk);
    Events own = new Events("own");
    zk.exists("/w/own", own);
    out.call("own change", () -> zk.create("/w/own", null, OPEN, CreateMode.EPHEMERAL));
    own.settle(out, zk);
    zk.getData("/w/own", own, null);
    zk.exists("/w/m1", own);
    zk.exists("/w/m2", own);
    other.multi(List.of(Op.create("/w/m2", null, OPEN, CreateMode.PERSISTENT), Op.create("/w/m1", null, OPEN, CreateMode.PERSISTENT), Op.setData("/w/own", null, -1), Op.delete("/w/m1", -1)));
    own.settle(out, zk);
    zk.exists("/w/m1", own);
    out.call("failing multi", () -> other.multi(List.of(Op.create("/w/m1", null, OPEN, CreateMode.PERSISTENT), Op.check("/w", 77))));
    other.create("/w/m1", null, OPEN, CreateMode.PERSISTENT);
    own.settle(out, zk);
    CountDownLatch done = new CountDownLatch(3);
    zk.exists("/w/async", own, (rc, p, c, s) -> done.countDown(), null);
    zk.getData("/w/m1", own, (rc, p, c, d, s) -> done.countDown(), null);
    zk.getChildren("/w/m1", own, (rc, p, c, k) -> done.countDown(), null);
    done.await(30, TimeUnit.SECONDS);
    other.create("/w/async", null, OPEN, CreateMode.PERSISTENT);
    other.delete("/w/m1", -1);
    own.settle(out, zk);
  }

  private static void persistent(ZooKeeper zk, ZooKeeper other, Transcript out) throws Exception {
    out.head("persistent");
    Events one = new Events("persistent");
    Events all = new Events("recursive");
    ApiSuite.create(other, "/w/p", "/w/p/x");
    out.run("add persistent", () -> zk.addWatch("/w/p", one, AddWatchMode.PERSISTENT));
    out.run("add recursive", () -> zk.addWatch("/w/p", all, AddWatchMode.PERSISTENT_RECURSIVE));
    out.run("add on absent", () -> zk.addWatch("/w/q", one, AddWatchMode.PERSISTENT));
    out.run("add recursive on absent", () -> zk.addWatch("/w/q", all, AddWatchMode.PERSISTENT_RECURSIVE));
    for (int i = 0; i < 2; i++) {
      other.setData("/w/p", bytes("d" + i), -1);
      other.create("/w/p/c" + i, null, OPEN, CreateMode.PERSISTENT);
      other.create("/w/p/c" + i + "/deep", null, OPEN, CreateMode.PERSISTENT);
      other.setData("/w/p/c" + i + "/deep", bytes("x"), -1);
      other.delete("/w/p/c" + i + "/deep", -1);
      other.delete("/w/p/c" + i, -1);
    }
    other.create("/w/q", null, OPEN, CreateMode.PERSISTENT);
    other.create("/w/q/k", null, OPEN, CreateMode.PERSISTENT);
    other.delete("/w/q/k", -1);
    other.delete("/w/q", -1);
    one.settle(out, zk);
    all.settle(out, zk);
    zk.getChildren("/w/p", one);
    zk.getData("/w/p", one, null);
    other.create("/w/p/last", null, OPEN, CreateMode.PERSISTENT);
    other.setData("/w/p", bytes("last"), -1);
    one.settle(out, zk);
    all.settle(out, zk);
    CountDownLatch done = new CountDownLatch(1);
    zk.addWatch("/w/r", all, AddWatchMode.PERSISTENT_RECURSIVE, (rc, p, c) -> { out.line("async add " + rc); done.countDown(); }, null);
    done.await(30, TimeUnit.SECONDS);
    out.run("same again", () -> zk.addWatch("/w/r", all, AddWatchMode.PERSISTENT_RECURSIVE));
    other.create("/w/r", null, OPEN, CreateMode.EPHEMERAL);
    all.settle(out, zk);
    out.run("add without watcher uses the default", () -> zk.addWatch("/w/default", AddWatchMode.PERSISTENT));
  }

  private static void removal(ZooKeeper zk, ZooKeeper other, Transcript out) throws Exception {
    out.head("removal");
    ApiSuite.create(other, "/w/d");
    for (WatcherType type : WatcherType.values()) {
      Events events = new Events("removed " + type);
      out.run(type + " with none set", () -> zk.removeWatches("/w/d", events, type, false));
      out.run(type + " with none set, local", () -> zk.removeWatches("/w/d", events, type, true));
      zk.getData("/w/d", events, null);
      zk.getChildren("/w/d", events);
      zk.addWatch("/w/d", events, AddWatchMode.PERSISTENT);
      out.run("remove " + type, () -> zk.removeWatches("/w/d", events, type, false));
      other.setData("/w/d", bytes("" + type), -1);
      other.create("/w/d/k", null, OPEN, CreateMode.EPHEMERAL);
      other.delete("/w/d/k", -1);
      events.settle(out, zk);
      out.run("remove Any", () -> zk.removeWatches("/w/d", events, WatcherType.Any, false));
      Events tree = new Events("recursive");
      zk.addWatch("/w/d", tree, AddWatchMode.PERSISTENT_RECURSIVE);
      out.run("remove " + type + " of recursive", () -> zk.removeWatches("/w/d", tree, type, false));
      other.setData("/w/d", bytes("again"), -1);
      tree.settle(out, zk);
      out.run("remove Any of recursive", () -> zk.removeWatches("/w/d", tree, WatcherType.Any, false));
    }
    Events events = new Events("async");
    zk.exists("/w/d", events);
    CountDownLatch done = new CountDownLatch(2);
    zk.removeWatches("/w/d", events, WatcherType.Data, false, (rc, p, c) -> { out.line("async removal " + rc); done.countDown(); }, null);
    zk.removeWatches("/w/none", events, WatcherType.Data, true, (rc, p, c) -> { out.line("async removal of none " + rc); done.countDown(); }, null);
    done.await(30, TimeUnit.SECONDS);
    events.settle(out, zk);
  }

  private static void removeAll(ZooKeeper zk, ZooKeeper other, Transcript out) throws Exception {
    out.head("removal of all");
    ApiSuite.create(other, "/w/all");
    for (WatcherType type : WatcherType.values()) {
      Events one = new Events("one");
      Events two = new Events("two");
      zk.exists("/w/all", one);
      zk.getChildren("/w/all", two);
      zk.addWatch("/w/all", two, AddWatchMode.PERSISTENT);
      out.run("remove all " + type, () -> zk.removeAllWatches("/w/all", type, false));
      other.setData("/w/all", bytes("" + type), -1);
      other.create("/w/all/k", null, OPEN, CreateMode.EPHEMERAL);
      other.delete("/w/all/k", -1);
      one.settle(out, zk);
      two.settle(out, zk);
      out.run("remove all Any", () -> zk.removeAllWatches("/w/all", WatcherType.Any, true));
    }
    CountDownLatch done = new CountDownLatch(1);
    zk.removeAllWatches("/w/none", WatcherType.Any, false, (rc, p, c) -> { out.line("async removal of all of none " + rc); done.countDown(); }, null);
    done.await(30, TimeUnit.SECONDS);
  }

  private static void defaultWatcher(String server, ZooKeeper other, Transcript out) throws Exception {
    out.head("default watcher");
    Events first = new Events("first");
    Events second = new Events("second");
    try (ZooKeeper zk = ApiSuite.connect(server, out, "default", first)) {
      zk.exists("/w/dw", true);
      zk.getChildren("/w", true);
      other.create("/w/dw", null, OPEN, CreateMode.PERSISTENT);
      first.settle(out, zk);
      zk.register(second);
      zk.getData("/w/dw", true, null);
      zk.getChildren("/w/dw", true, null);
      zk.getConfig(true, null);
      other.delete("/w/dw", -1);
      second.settle(out, zk);
    }
  }

  private static void acls(ZooKeeper zk, ZooKeeper other, Transcript out) throws Exception {
    out.head("watch on a node that becomes unreadable");
    Events events = new Events("unreadable");
    ApiSuite.create(other, "/w/secret");
    zk.getData("/w/secret", events, null);
    zk.addWatch("/w/secret", events, AddWatchMode.PERSISTENT);
    other.setACL("/w/secret", java.util.Arrays.asList(new org.apache.zookeeper.data.ACL(30, OPEN.get(0).getId())), -1);
    other.setData("/w/secret", bytes("hidden"), -1);
    other.create("/w/secret/k", null, OPEN, CreateMode.PERSISTENT);
    other.setACL("/w/secret", OPEN, -1);
    other.setData("/w/secret", bytes("shown"), -1);
    events.settle(out, zk);
  }
}

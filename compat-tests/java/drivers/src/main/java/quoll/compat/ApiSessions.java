package quoll.compat;

import static quoll.compat.ApiSuite.OPEN;
import static quoll.compat.ApiSuite.bytes;

import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.admin.ZooKeeperAdmin;

/** Sessions: negotiation, take-over, wrong passwords, reconnects with watches, closing, expiry. */
final class ApiSessions {
  private ApiSessions() {}

  static void run(String server, Transcript out) throws Exception {
    out.head("sessions");
    for (int timeout : new int[] {2_000, 3_999, 4_000, 10_000, 40_000, 1_000_000}) {
      ApiSuite.connect(server, out, "t" + timeout, new Events("t" + timeout), timeout).close();
    }
    try (ZooKeeperAdmin watcher = ApiSuite.connect(server, out, "observer", new Events("observer"))) {
      ApiSuite.create(watcher, "/s");
      takeOver(server, watcher, out);
      reconnect(server, watcher, out);
      closing(server, watcher, out);
      expiry(server, watcher, out);
      readOnlyFlag(server, out);
    }
  }

  private static void takeOver(String server, ZooKeeper watcher, Transcript out) throws Exception {
    out.head("take-over by id and password");
    Events firstEvents = new Events("first");
    ZooKeeper first = ApiSuite.connect(server, out, "taken", firstEvents);
    first.create("/s/eph", bytes("e"), OPEN, CreateMode.EPHEMERAL);
    long id = first.getSessionId();
    byte[] passwd = first.getSessionPasswd();
    Events secondEvents = new Events("second");
    ZooKeeper second = new ZooKeeper(server, 30_000, secondEvents, id, passwd);
    secondEvents.awaitState("SyncConnected");
    out.call("same session", () -> second.getSessionId() == id && Arrays.equals(passwd, second.getSessionPasswd()));
    out.call("its ephemeral", () -> second.getEphemerals());
    out.call("owner", () -> second.exists("/s/eph", false));
    second.close();
    out.call("ephemeral gone with the session", () -> watcher.exists("/s/eph", false));
    firstEvents.awaitState("Expired");
    out.line("the first connection's state: " + first.getState());
    first.close();
    Events lateEvents = new Events("late");
    ZooKeeper late = new ZooKeeper(server, 30_000, lateEvents, id, passwd);
    lateEvents.awaitState("Expired");
    out.line("attached too late: " + late.getState());
    late.close();
    Events wrongEvents = new Events("wrong");
    ZooKeeper fresh = ApiSuite.connect(server, out, "fresh", new Events("fresh"));
    fresh.close();
    ZooKeeper wrong = new ZooKeeper(server, 30_000, wrongEvents, watcher.getSessionId() + 1000, new byte[16]);
    wrongEvents.awaitState("Expired");
    out.line("unknown id: " + wrong.getState());
    wrong.close();
  }

  /** A client whose connection is cut comes back with the same session and sets its watches again. */
  private static void reconnect(String server, ZooKeeper other, Transcript out) throws Exception {
    out.head("watches after a reconnect");
    Events events = new Events("default");
    Relay relay = new Relay(server);
    ZooKeeper zk = ApiSuite.connect(relay.address(), out, "reconnecting", events);
    ApiSuite.create(other, "/s/data", "/s/gone", "/s/kids", "/s/calm", "/s/pers", "/s/rec");
    Events data = new Events("data");
    Events gone = new Events("gone");
    Events kids = new Events("kids");
    Events made = new Events("made");
    Events calm = new Events("calm");
    Events pers = new Events("persistent");
    Events rec = new Events("recursive");
    zk.getData("/s/data", data, null);
    zk.getData("/s/gone", gone, null);
    zk.getChildren("/s/kids", kids);
    zk.exists("/s/made", made);
    zk.getData("/s/calm", calm, null);
    zk.getChildren("/s/calm", calm);
    zk.exists("/s/absent", calm);
    zk.addWatch("/s/pers", pers, AddWatchMode.PERSISTENT);
    zk.addWatch("/s/rec", rec, AddWatchMode.PERSISTENT_RECURSIVE);
    zk.addAuthInfo("digest", bytes("re:connect"));
    // The client loses its connection and comes back by itself; the changes are made while it is away.
    relay.cut();
    events.awaitState("Disconnected");
    other.setData("/s/data", bytes("changed"), -1);
    other.delete("/s/gone", -1);
    other.create("/s/kids/k", null, OPEN, CreateMode.PERSISTENT);
    other.create("/s/made", null, OPEN, CreateMode.PERSISTENT);
    other.setData("/s/pers", bytes("missed"), -1);
    other.create("/s/rec/missed", null, OPEN, CreateMode.PERSISTENT);
    relay.mend();
    events.expect(out, 2);
    out.call("still who it was", zk::whoAmI);
    data.settle(out, zk);
    gone.settle(out, zk);
    kids.settle(out, zk);
    made.settle(out, zk);
    other.setData("/s/calm", bytes("late"), -1);
    other.create("/s/calm/k", null, OPEN, CreateMode.PERSISTENT);
    other.create("/s/absent", null, OPEN, CreateMode.PERSISTENT);
    other.setData("/s/pers", bytes("seen"), -1);
    other.create("/s/rec/seen", null, OPEN, CreateMode.PERSISTENT);
    calm.settle(out, zk);
    pers.settle(out, zk);
    rec.settle(out, zk);
    zk.close();
    relay.close();
  }

  private static void closing(String server, ZooKeeper watcher, Transcript out) throws Exception {
    out.head("closing");
    Events events = new Events("ephemerals");
    ZooKeeper zk = ApiSuite.connect(server, out, "closing", new Events("closing"));
    for (String name : List.of("b", "a", "c")) {
      zk.create("/s/close-" + name, null, OPEN, CreateMode.EPHEMERAL);
    }
    watcher.exists("/s/close-a", events);
    watcher.getChildren("/s/close-b", events);
    watcher.getChildren("/s", events);
    out.call("before", () -> watcher.exists("/s", false));
    zk.close();
    events.settleSorted(out, watcher);
    out.call("after", () -> watcher.exists("/s", false));
    out.call("call on a closed client", () -> zk.exists("/", false));
  }

  private static void expiry(String server, ZooKeeper watcher, Transcript out) throws Exception {
    out.head("expiry");
    Events events = new Events("ephemerals");
    Events own = new Events("own");
    Relay relay = new Relay(server);
    ZooKeeper zk = ApiSuite.connect(relay.address(), out, "expiring", own, 4_000);
    zk.create("/s/exp", null, OPEN, CreateMode.EPHEMERAL);
    zk.create("/s/exp2", null, OPEN, CreateMode.EPHEMERAL);
    watcher.exists("/s/exp", events);
    watcher.exists("/s/exp2", events);
    relay.cut();
    out.await("its ephemerals go", () -> watcher.exists("/s/exp", false) == null && watcher.exists("/s/exp2", false) == null);
    events.settleSorted(out, watcher);
    relay.mend();
    own.awaitState("Expired");
    out.line("state " + zk.getState());
    out.call("call on an expired client", () -> zk.exists("/", false));
    out.call("children", () -> new TreeSet<>(watcher.getChildren("/s", false)));
    out.call("parent", () -> watcher.exists("/s", false));
    zk.close();
    relay.close();
  }

  private static void readOnlyFlag(String server, Transcript out) throws Exception {
    out.head("a client that would take a read-only server");
    Events events = new Events("read only");
    try (ZooKeeper zk = new ZooKeeper(server, 10_000, events, true)) {
      events.awaitState("SyncConnected");
      out.session(zk.getSessionId(), "canBeReadOnly");
      out.line("state " + zk.getState());
      out.run("server list", () -> zk.updateServerList(server + "," + server));
      out.call("writes", () -> zk.create("/s/ro", null, OPEN, CreateMode.EPHEMERAL));
    }
  }
}

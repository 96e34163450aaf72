package quoll.compat;

import static quoll.compat.ApiSuite.OPEN;
import static quoll.compat.ApiSuite.bytes;

import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZKUtil;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/** Reads that are not of one node: children, counts, ephemerals, subtrees, sync, whoAmI. */
final class ApiReads {
  private ApiReads() {}

  static void run(ZooKeeper zk, Transcript out) throws Exception {
    out.head("reads");
    ApiSuite.create(zk, "/r", "/r/a", "/r/a/1", "/r/a/2", "/r/b");
    zk.create("/r/e1", null, OPEN, CreateMode.EPHEMERAL);
    zk.create("/r/a/e2", null, OPEN, CreateMode.EPHEMERAL);
    zk.create("/r/b/s-", null, OPEN, CreateMode.EPHEMERAL_SEQUENTIAL);
    Stat stat = new Stat();
    out.call("children with Stat", () -> new TreeSet<>(zk.getChildren("/r", false, stat)));
    out.call("Stat", () -> stat);
    out.call("children of the root", () -> new TreeSet<>(zk.getChildren("/", false)));
    out.call("count below /r", () -> zk.getAllChildrenNumber("/r"));
    out.call("count below a leaf", () -> zk.getAllChildrenNumber("/r/b/s-0000000000"));
    out.call("count below the root", () -> zk.getAllChildrenNumber("/"));
    out.call("count below none", () -> zk.getAllChildrenNumber("/none"));
    out.call("all ephemerals", () -> new TreeSet<>(zk.getEphemerals()));
    for (String prefix : List.of("/", "/r", "/r/a", "/r/e", "/none", "/r/a/e2")) {
      out.call("ephemerals " + prefix, () -> new TreeSet<>(zk.getEphemerals(prefix)));
    }
    CountDownLatch done = new CountDownLatch(3);
    zk.getEphemerals("/r", (rc, ctx, list) -> { out.line("ephemerals async " + rc + " " + new TreeSet<>(list)); done.countDown(); }, null);
    zk.getEphemerals((rc, ctx, list) -> { out.line("all ephemerals async " + rc + " " + list.size()); done.countDown(); }, null);
    zk.getAllChildrenNumber("/r", (rc, path, ctx, n) -> { out.line("count async " + rc + " " + n); done.countDown(); }, null);
    done.await(30, TimeUnit.SECONDS);
    out.run("sync", () -> zk.sync("/r"));
    out.run("sync of none", () -> zk.sync("/none"));
    out.call("whoAmI", zk::whoAmI);
    out.call("subtree", () -> new TreeSet<>(ZKUtil.listSubTreeBFS(zk, "/r")));
    out.call("delete recursively", () -> ZKUtil.deleteRecursive(zk, "/r/a", 2));
    out.call("subtree", () -> new TreeSet<>(ZKUtil.listSubTreeBFS(zk, "/r")));
    chroot(zk, out);
  }

  private static void chroot(ZooKeeper zk, Transcript out) throws Exception {
    out.head("chroot");
    Events events = new Events("chroot");
    String server = String.valueOf(zk.getTestable() == null ? null : serverOf(zk));
    try (ZooKeeper inner = new ZooKeeper(server + "/r/b", 30_000, events)) {
      events.awaitState("SyncConnected");
      out.session(inner.getSessionId(), "chroot");
      out.call("create", () -> inner.create("/x", bytes("x"), OPEN, CreateMode.EPHEMERAL));
      out.call("create2", () -> inner.create("/y-", bytes("y"), OPEN, CreateMode.PERSISTENT_SEQUENTIAL, new Stat()));
      out.call("root children", () -> new TreeSet<>(inner.getChildren("/", events)));
      out.call("ephemerals", () -> inner.getEphemerals());
      out.call("none", () -> inner.getData("/none", false, null));
      out.run("delete", () -> inner.delete("/x", -1));
      events.settle(out, inner);
    }
    out.call("from outside", () -> new TreeSet<>(zk.getChildren("/r/b", false)));
  }

  /** The address the client is connected to, as its own description gives it. */
  private static String serverOf(ZooKeeper zk) {
    String text = zk.toString();
    int from = text.indexOf("remoteserver:");
    String address = text.substring(from + "remoteserver:".length()).split(" ")[0];
    return "127.0.0.1" + address.substring(address.lastIndexOf(':'));
  }
}

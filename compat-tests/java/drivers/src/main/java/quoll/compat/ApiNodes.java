package quoll.compat;

import static quoll.compat.ApiSuite.OPEN;
import static quoll.compat.ApiSuite.bytes;

import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/** Creating, changing and deleting nodes: every create mode, every refusal, versions, large data. */
final class ApiNodes {
  private ApiNodes() {}

  static void run(ZooKeeper zk, Transcript out) throws Exception {
    createModes(zk, out);
    refusals(zk, out);
    paths(zk, out);
    setAndDelete(zk, out);
    largeNodes(zk, out);
    asynchronous(zk, out);
  }

  private static void createModes(ZooKeeper zk, Transcript out) throws Exception {
    out.head("create modes");
    out.call("root", () -> zk.create("/n", bytes("root"), OPEN, CreateMode.PERSISTENT));
    for (CreateMode mode : CreateMode.values()) {
      Stat stat = new Stat();
      if (mode.isTTL()) {
        out.call(mode + " without ttl", () -> zk.create("/n/x-", bytes("x"), OPEN, mode));
        out.call(mode.name(), () -> zk.create("/n/" + mode + "-", bytes("x"), OPEN, mode, stat, 600_000));
        out.call(mode + " longest", () -> zk.create("/n/" + mode + "l-", null, OPEN, mode, stat, 1099511627775L));
        out.call(mode + " too long", () -> zk.create("/n/" + mode + "t-", null, OPEN, mode, stat, 1099511627776L));
        out.call(mode + " zero", () -> zk.create("/n/" + mode + "z-", null, OPEN, mode, stat, 0));
      } else {
        out.call(mode.name(), () -> zk.create("/n/" + mode + "-", bytes("x"), OPEN, mode));
        out.call(mode + " with Stat", () -> zk.create("/n/" + mode + "s-", bytes("y"), OPEN, mode, stat));
        out.call(mode + " with ttl", () -> zk.create("/n/" + mode + "q-", null, OPEN, mode, stat, 5));
      }
      out.call("its Stat", () -> stat);
    }
    out.call("children", () -> new java.util.TreeSet<>(zk.getChildren("/n", false)));
    for (String child : new java.util.TreeSet<>(zk.getChildren("/n", false))) {
      out.call("/n/" + child, () -> zk.exists("/n/" + child, false));
    }
    out.call("null data", () -> zk.create("/n/null", null, OPEN, CreateMode.PERSISTENT));
    out.call("read null", () -> zk.getData("/n/null", false, null));
    out.call("empty data", () -> zk.create("/n/empty", new byte[0], OPEN, CreateMode.PERSISTENT));
    out.call("read empty", () -> zk.getData("/n/empty", false, null));
    out.call("sequence in the root of a slash", () -> zk.create("/n/", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL));
    for (String between : new String[] {"b0", "b1", "b2"}) {
      out.call("sequence", () -> zk.create("/n/s-", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL));
      out.call("plain between", () -> zk.create("/n/" + between, null, OPEN, CreateMode.PERSISTENT));
    }
  }

  private static void refusals(ZooKeeper zk, Transcript out) {
    out.head("refusals");
    out.call("exists already", () -> zk.create("/n/null", null, OPEN, CreateMode.PERSISTENT));
    out.call("no parent", () -> zk.create("/none/x", null, OPEN, CreateMode.PERSISTENT));
    out.call("below an ephemeral", () -> zk.create("/n/EPHEMERAL-/x", null, OPEN, CreateMode.PERSISTENT));
    out.call("below a container", () -> zk.create("/n/CONTAINER-/x", null, OPEN, CreateMode.PERSISTENT));
    out.call("below a ttl node", () -> zk.create("/n/PERSISTENT_WITH_TTL-/x", null, OPEN, CreateMode.PERSISTENT));
    out.call("ephemeral below a ttl node", () -> zk.create("/n/PERSISTENT_WITH_TTL-/e", null, OPEN, CreateMode.EPHEMERAL));
    out.call("the root", () -> zk.create("/", null, OPEN, CreateMode.PERSISTENT));
    out.call("empty ACL", () -> zk.create("/n/acl", null, new java.util.ArrayList<>(), CreateMode.PERSISTENT));
    out.call("null ACL", () -> zk.create("/n/acl", null, null, CreateMode.PERSISTENT));
    out.run("delete of none", () -> zk.delete("/none", -1));
    out.run("delete with children", () -> zk.delete("/n", -1));
    out.run("delete with another version", () -> zk.delete("/n/null", 7));
    out.run("delete the root", () -> zk.delete("/", -1));
    for (String protectedPath : new String[] {"/zookeeper", "/zookeeper/quota", "/zookeeper/config"}) {
      out.run("delete " + protectedPath, () -> zk.delete(protectedPath, -1));
    }
    out.call("set of none", () -> zk.setData("/none", null, -1));
    out.call("set with another version", () -> zk.setData("/n/null", null, 3));
    out.call("data of none", () -> zk.getData("/none", false, null));
    out.call("children of none", () -> zk.getChildren("/none", false));
    out.call("exists of none", () -> zk.exists("/none", false));
    out.call("acl of none", () -> zk.getACL("/none", null));
    out.call("set acl of none", () -> zk.setACL("/none", OPEN, -1));
  }

  private static void paths(ZooKeeper zk, Transcript out) {
    out.head("paths");
    for (String path :
        new String[] {
          "", "n", "/n/", "/n//x", "/n/./x", "/n/../x", "/n/a\u0000b", "/n/a\u0001", "/n/a\u009f",
          "/n/a\ud800", "/n/a\uf8ff", "/n/a\ufff0", "/n/...", "/n/ü", "/n/日本", "/n/a b", "/n/\u00a0"
        }) {
      String shown = path.codePoints().mapToObj(c -> c < 127 && c > 31 ? "" + (char) c : "<" + c + ">").reduce("", String::concat);
      out.call("create '" + shown + "'", () -> zk.create(path, null, OPEN, CreateMode.PERSISTENT).length());
      out.call("exists '" + shown + "'", () -> zk.exists(path, false) != null);
    }
    out.call("names", () -> new java.util.TreeSet<>(zk.getChildren("/n", false)).stream().filter(c -> c.length() < 4).toList());
  }

  private static void setAndDelete(ZooKeeper zk, Transcript out) throws Exception {
    out.head("set and delete");
    out.call("create", () -> zk.create("/n/v", bytes("0"), OPEN, CreateMode.PERSISTENT));
    out.call("set any", () -> zk.setData("/n/v", bytes("1"), -1));
    out.call("set 1", () -> zk.setData("/n/v", bytes("22"), 1));
    out.call("set 1 again", () -> zk.setData("/n/v", bytes("333"), 1));
    out.call("set -2", () -> zk.setData("/n/v", bytes("333"), -2));
    out.call("set null", () -> zk.setData("/n/v", null, 2));
    Stat stat = new Stat();
    out.call("get", () -> zk.getData("/n/v", false, stat));
    out.call("its Stat", () -> stat);
    out.call("child", () -> zk.create("/n/v/c", null, OPEN, CreateMode.PERSISTENT));
    out.call("parent", () -> zk.exists("/n/v", false));
    out.run("delete child", () -> zk.delete("/n/v/c", 0));
    out.call("parent", () -> zk.exists("/n/v", false));
    out.run("delete 2", () -> zk.delete("/n/v", 2));
    out.run("delete 3", () -> zk.delete("/n/v", 3));
    out.call("gone", () -> zk.exists("/n/v", false));
    out.call("set the root", () -> zk.setData("/", bytes("rootdata"), -1));
    out.call("get the root", () -> zk.getData("/", false, null));
    out.call("create below /zookeeper", () -> zk.create("/zookeeper/x", null, OPEN, CreateMode.PERSISTENT));
    out.run("delete below /zookeeper", () -> zk.delete("/zookeeper/x", -1));
  }

  private static void largeNodes(ZooKeeper zk, Transcript out) throws Exception {
    out.head("large nodes");
    byte[] large = new byte[1_000_000];
    Arrays.fill(large, (byte) 'L');
    out.call("create of 1 MB", () -> zk.create("/n/large", large, OPEN, CreateMode.PERSISTENT));
    out.call("read it", () -> zk.getData("/n/large", false, null));
    out.call("stat", () -> zk.exists("/n/large", false));
    out.run("delete it", () -> zk.delete("/n/large", -1));
    zk.create("/n/wide", null, OPEN, CreateMode.PERSISTENT);
    int count = 2000;
    CountDownLatch done = new CountDownLatch(count);
    for (int i = 0; i < count; i++) {
      zk.create(
          String.format("/n/wide/child-with-a-long-name-%06d", i),
          null,
          OPEN,
          CreateMode.PERSISTENT,
          (rc, path, ctx, name) -> done.countDown(),
          null);
    }
    out.call("2000 children made", () -> done.await(60, TimeUnit.SECONDS));
    out.call("2000 children listed", () -> zk.getChildren("/n/wide", false).size());
    out.call("their parent", () -> zk.exists("/n/wide", false));
  }

  private static void asynchronous(ZooKeeper zk, Transcript out) throws Exception {
    out.head("asynchronous calls answer in order");
    java.util.List<String> seen = java.util.Collections.synchronizedList(new java.util.ArrayList<>());
    CountDownLatch done = new CountDownLatch(12);
    java.util.function.Consumer<String> note =
        text -> {
          seen.add(text);
          done.countDown();
        };
    zk.create("/n/async", bytes("a"), OPEN, CreateMode.PERSISTENT, (rc, p, c, name) -> note.accept("create " + rc + " " + name), null);
    zk.create("/n/async", bytes("a"), OPEN, CreateMode.PERSISTENT, (rc, p, c, name, stat) -> note.accept("create2 " + rc + " " + name + " " + stat), null);
    zk.create("/n/async/t", bytes("t"), OPEN, CreateMode.PERSISTENT_WITH_TTL, (rc, p, c, name, stat) -> note.accept("createTTL " + rc + " " + name + " " + out.show(stat)), null, 1_000_000);
    zk.exists("/n/async", false, (rc, p, c, stat) -> note.accept("exists " + rc + " " + out.show(stat)), null);
    zk.getData("/n/async", false, (rc, p, c, data, stat) -> note.accept("get " + rc + " " + out.show(data)), null);
    zk.setData("/n/async", bytes("b"), 0, (rc, p, c, stat) -> note.accept("set " + rc + " " + out.show(stat)), null);
    zk.getACL("/n/async", null, (rc, p, c, acl, stat) -> note.accept("getACL " + rc + " " + out.show(acl)), null);
    zk.setACL("/n/async", OPEN, 0, (rc, p, c, stat) -> note.accept("setACL " + rc + " " + out.show(stat)), null);
    zk.getChildren("/n/async", false, (rc, p, c, kids) -> note.accept("children " + rc + " " + kids), null);
    zk.getChildren("/n/async", false, (rc, p, c, kids, stat) -> note.accept("children2 " + rc + " " + kids + out.show(stat)), null);
    zk.delete("/n/async", -1, (rc, p, c) -> note.accept("delete " + rc), null);
    zk.sync("/n/async", (rc, p, c) -> note.accept("sync " + rc + " " + p), null);
    done.await(30, TimeUnit.SECONDS);
    seen.forEach(out::line);
  }
}

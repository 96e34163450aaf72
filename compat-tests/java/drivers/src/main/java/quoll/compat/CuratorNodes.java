package quoll.compat;

import static quoll.compat.CuratorSuite.bytes;

import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.zookeeper.CreateMode;

/** Group membership, nodes that come back when deleted, TTL nodes kept alive. */
final class CuratorNodes {
  private CuratorNodes() {}

  static void run(String server, CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    out.head("group membership");
    CuratorFramework leaving = CuratorSuite.client(server);
    GroupMember a = new GroupMember(one, "/g", "a", bytes("A"));
    GroupMember b = new GroupMember(two, "/g", "b", bytes("B"));
    GroupMember c = new GroupMember(leaving, "/g", "c", bytes("C"));
    a.start();
    b.start();
    c.start();
    out.await("three", () -> a.getCurrentMembers().size() == 3);
    out.call("members", () -> new TreeSet<>(a.getCurrentMembers().keySet()));
    leaving.close();
    out.await("two", () -> a.getCurrentMembers().size() == 2);
    b.setThisData(bytes("BB"));
    out.await("data of b", () -> new String(a.getCurrentMembers().get("b")).equals("BB"));
    b.close();
    out.await("one", () -> a.getCurrentMembers().size() == 1);
    a.close();

    out.head("persistent nodes");
    for (CreateMode mode : new CreateMode[] {CreateMode.EPHEMERAL, CreateMode.PERSISTENT, CreateMode.CONTAINER}) {
      String path = "/p/" + mode.name();
      try (PersistentNode node = new PersistentNode(one, mode, false, path, bytes("p"))) {
        node.start();
        out.call("made " + mode, () -> node.waitForInitialCreate(CuratorSuite.WAIT_SECONDS, TimeUnit.SECONDS));
        two.delete().forPath(path);
        out.await("made again", () -> two.checkExists().forPath(path) != null);
        out.run("other data", () -> node.setData(bytes("q")));
        out.await("seen", () -> new String(two.getData().forPath(path)).equals("q"));
      }
      CuratorSuite.catchUp(two);
      out.call("gone after close", () -> two.checkExists().forPath(path) == null);
    }
    try (PersistentTtlNode ttl = new PersistentTtlNode(one, "/p/ttl", 1_000, bytes("t"))) {
      ttl.start();
      out.call("ttl node", () -> ttl.waitForInitialCreate(CuratorSuite.WAIT_SECONDS, TimeUnit.SECONDS));
      out.await("touched", () -> two.checkExists().forPath("/p/ttl/touch").getVersion() > 0);
      out.call("kept", () -> two.checkExists().forPath("/p/ttl") != null);
    }
    out.await("reaped when nobody touches it", () -> two.checkExists().forPath("/p/ttl") == null);
  }
}

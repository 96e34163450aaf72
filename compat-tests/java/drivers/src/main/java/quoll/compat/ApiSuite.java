package quoll.compat;

import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.data.ACL;

/** Every call of the Java client's API against one server. One topic per file: Api*.java. */
final class ApiSuite {
  static final List<ACL> OPEN = Ids.OPEN_ACL_UNSAFE;

  private ApiSuite() {}

  static void run(String server, Transcript out) throws Exception {
    try (ZooKeeperAdmin zk = connect(server, out, "main", new Events("main"))) {
      ApiNodes.run(zk, out);
      ApiReads.run(zk, out);
      ApiMulti.run(zk, out);
      ApiAcls.run(server, zk, out);
      ApiWatches.run(server, zk, out);
      ApiQuotas.run(zk, out);
      ApiConfig.run(zk, out);
    }
    ApiSessions.run(server, out);
  }

  /** A connected client whose session id shows as {@code name} from now on. */
  static ZooKeeperAdmin connect(String server, Transcript out, String name, Events events)
      throws Exception {
    return connect(server, out, name, events, 30_000);
  }

  static ZooKeeperAdmin connect(
      String server, Transcript out, String name, Events events, int timeoutMs) throws Exception {
    ZooKeeperAdmin zk = new ZooKeeperAdmin(server, timeoutMs, events);
    events.awaitState("SyncConnected");
    out.session(zk.getSessionId(), name);
    out.line(name + " connected, timeout " + zk.getSessionTimeout());
    events.expect(out, 1);
    return zk;
  }

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static void create(ZooKeeper zk, String... paths) throws Exception {
    for (String path : paths) {
      zk.create(path, bytes("d"), OPEN, org.apache.zookeeper.CreateMode.PERSISTENT);
    }
  }
}

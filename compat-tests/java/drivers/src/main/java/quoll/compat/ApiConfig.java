package quoll.compat;

import static quoll.compat.ApiSuite.bytes;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.data.Stat;

/** getConfig and reconfig as a standalone server answers them. */
final class ApiConfig {
  private ApiConfig() {}

  static void run(ZooKeeperAdmin zk, Transcript out) throws Exception {
    out.head("config");
    Stat stat = new Stat();
    out.call("getConfig", () -> zk.getConfig(false, stat));
    out.call("Stat", () -> stat);
    out.call("config's acl", () -> zk.getACL("/zookeeper/config", null));
    out.call("set config", () -> zk.setData("/zookeeper/config", bytes("x"), -1));
    out.call("reconfigure", () -> zk.reconfigure("server.2=localhost:1:2:participant;3", null, null, -1, new Stat()));
    out.call("reconfigure, leaving", () -> zk.reconfigure((String) null, "1", null, -1, new Stat()));
    out.call("reconfigure, members", () -> zk.reconfigure((String) null, null, "server.1=localhost:1:2:participant;3", 5, new Stat()));
    CountDownLatch done = new CountDownLatch(2);
    zk.getConfig(false, (rc, p, c, data, s) -> { out.line("async " + rc + " " + out.show(data)); done.countDown(); }, null);
    zk.reconfigure((String) null, "1", null, -1, (rc, p, c, data, s) -> { out.line("async reconfigure " + rc); done.countDown(); }, null);
    done.await(30, TimeUnit.SECONDS);
  }
}

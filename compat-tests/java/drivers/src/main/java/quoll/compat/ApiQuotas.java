package quoll.compat;

import static quoll.compat.ApiSuite.OPEN;
import static quoll.compat.ApiSuite.bytes;

import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.StatsTrack;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.cli.DelQuotaCommand;
import org.apache.zookeeper.cli.SetQuotaCommand;

/** Quotas: counting, soft limits, hard limits (the server runs with enforceQuota). */
final class ApiQuotas {
  private ApiQuotas() {}

  static void run(ZooKeeper zk, Transcript out) throws Exception {
    out.head("quotas");
    ApiSuite.create(zk, "/q", "/q/a", "/q/a/deep");
    StatsTrack soft = new StatsTrack();
    soft.setCount(3);
    soft.setBytes(10);
    out.call("soft quota", () -> SetQuotaCommand.createQuota(zk, "/q/a", soft));
    limits(zk, out, "/q/a");
    out.call("create over the soft limit", () -> zk.create("/q/a/b", bytes("0123456789"), OPEN, CreateMode.PERSISTENT));
    out.call("set over the soft limit", () -> zk.setData("/q/a/b", bytes("01234567890123456789"), -1) != null);
    limits(zk, out, "/q/a");
    out.call("quota above another", () -> SetQuotaCommand.createQuota(zk, "/q", soft));
    out.call("quota below another", () -> SetQuotaCommand.createQuota(zk, "/q/a/deep", soft));
    StatsTrack hard = new StatsTrack();
    hard.setCountHardLimit(5);
    hard.setByteHardLimit(40);
    out.call("hard quota", () -> SetQuotaCommand.createQuota(zk, "/q/a", hard));
    limits(zk, out, "/q/a");
    out.call("bytes too many", () -> zk.setData("/q/a/b", new byte[50], -1));
    out.call("create with too many bytes", () -> zk.create("/q/a/c", new byte[50], OPEN, CreateMode.PERSISTENT));
    out.call("fourth", () -> zk.create("/q/a/c", null, OPEN, CreateMode.PERSISTENT));
    out.call("fifth", () -> zk.create("/q/a/d", null, OPEN, CreateMode.PERSISTENT));
    out.call("sixth", () -> zk.create("/q/a/e", null, OPEN, CreateMode.PERSISTENT));
    out.call("sixth in a multi", () -> zk.multi(java.util.List.of(Op.create("/q/x", null, OPEN, CreateMode.PERSISTENT), Op.create("/q/a/e", null, OPEN, CreateMode.PERSISTENT))));
    out.run("room again", () -> zk.delete("/q/a/d", -1));
    out.call("fifth again", () -> zk.create("/q/a/e", null, OPEN, CreateMode.EPHEMERAL));
    limits(zk, out, "/q/a");
    out.call("stats node", () -> zk.exists("/zookeeper/quota/q/a/zookeeper_stats", false));
    out.call("quota nodes", () -> new java.util.TreeSet<>(org.apache.zookeeper.ZKUtil.listSubTreeBFS(zk, "/zookeeper/quota")));
    StatsTrack gone = new StatsTrack();
    gone.setCountHardLimit(1);
    out.call("drop the hard count", () -> DelQuotaCommand.delQuota(zk, "/q/a", gone));
    limits(zk, out, "/q/a");
    out.call("drop all", () -> DelQuotaCommand.delQuota(zk, "/q/a", null));
    limits(zk, out, "/q/a");
    out.call("quota nodes", () -> new java.util.TreeSet<>(org.apache.zookeeper.ZKUtil.listSubTreeBFS(zk, "/zookeeper/quota")));
  }

  private static void limits(ZooKeeper zk, Transcript out, String path) {
    out.call("limits", () -> zk.getData("/zookeeper/quota" + path + "/zookeeper_limits", false, null));
    out.call("stats", () -> zk.getData("/zookeeper/quota" + path + "/zookeeper_stats", false, null));
  }
}

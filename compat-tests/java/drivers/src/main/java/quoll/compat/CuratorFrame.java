package quoll.compat;

import static quoll.compat.CuratorSuite.bytes;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.zookeeper.CreateMode;

/** The fluent calls of the framework itself. */
final class CuratorFrame {
  private CuratorFrame() {}

  static void run(CuratorFramework zk, Transcript out) throws Exception {
    out.head("framework");
    out.call("create with parents", () -> zk.create().creatingParentsIfNeeded().forPath("/f/a/b", bytes("x")));
    out.call("create with container parents", () -> zk.create().creatingParentContainersIfNeeded().forPath("/f/cont/b/c"));
    out.call("or set", () -> zk.create().orSetData().forPath("/f/a/b", bytes("y")));
    out.call("data", () -> zk.getData().forPath("/f/a/b"));
    out.call("idempotent", () -> zk.create().idempotent().forPath("/f/a/b", bytes("y")));
    out.call("protected", () -> zk.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath("/f/p-").replaceAll("_c_[0-9a-f-]{36}-", "_c_ID-"));
    out.call("ttl", () -> zk.create().withTtl(1_000_000).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath("/f/ttl", null));
    out.call("children", () -> zk.getChildren().forPath("/f").size());
    out.call("set with version", () -> zk.setData().withVersion(1).forPath("/f/a/b", bytes("z")).getVersion());
    out.call("set with another version", () -> zk.setData().withVersion(9).forPath("/f/a/b", bytes("z")));
    out.call("acl", () -> zk.getACL().forPath("/f/a/b"));
    CountDownLatch done = new CountDownLatch(1);
    zk.getData().inBackground((client, event) -> {
      out.line("in background: " + event.getType() + " " + event.getResultCode() + " " + out.show(event.getData()));
      done.countDown();
    }).forPath("/f/a/b");
    done.await(CuratorSuite.WAIT_SECONDS, TimeUnit.SECONDS);
    out.call("transaction", () -> zk.transaction().forOperations(
            zk.transactionOp().create().forPath("/f/t", bytes("t")),
            zk.transactionOp().check().forPath("/f/t"),
            zk.transactionOp().setData().forPath("/f/t", bytes("u")),
            zk.transactionOp().delete().forPath("/f/t"))
        .stream().map(CuratorFrame::result).toList());
    out.call("failing transaction", () -> zk.transaction().forOperations(
            zk.transactionOp().create().forPath("/f/t", bytes("t")),
            zk.transactionOp().delete().forPath("/f/none"))
        .stream().map(CuratorFrame::result).toList());
    out.run("delete guaranteed with children", () -> zk.delete().guaranteed().deletingChildrenIfNeeded().forPath("/f/a"));
    out.run("delete quietly", () -> zk.delete().quietly().forPath("/f/none"));
    out.call("left", () -> zk.getChildren().forPath("/f").size());
    out.run("sync", () -> zk.sync().forPath("/f"));
    out.call("namespace", () -> zk.usingNamespace("f").create().forPath("/inside", null));
    out.call("from outside", () -> zk.checkExists().forPath("/f/inside") != null);
    out.call("config", () -> zk.getConfig().forEnsemble());
  }

  private static String result(CuratorTransactionResult r) {
    return r.getType() + " " + r.getForPath() + " " + r.getError();
  }
}

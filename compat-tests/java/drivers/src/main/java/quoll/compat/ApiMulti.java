package quoll.compat;

import static quoll.compat.ApiSuite.OPEN;
import static quoll.compat.ApiSuite.bytes;

import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.ZooKeeper;

/** Transactions: every kind of operation, every way to fail, and multi reads. */
final class ApiMulti {
  private ApiMulti() {}

  static void run(ZooKeeper zk, Transcript out) throws Exception {
    out.head("multi");
    out.call("root", () -> zk.create("/m", bytes("m"), OPEN, CreateMode.PERSISTENT));
    out.call(
        "all kinds",
        () ->
            zk.multi(
                List.of(
                    Op.create("/m/a", bytes("a"), OPEN, CreateMode.PERSISTENT),
                    Op.create("/m/e", bytes("e"), OPEN, CreateMode.EPHEMERAL),
                    Op.create("/m/s-", bytes("s"), OPEN, CreateMode.PERSISTENT_SEQUENTIAL),
                    Op.create("/m/s-", bytes("s"), OPEN, CreateMode.EPHEMERAL_SEQUENTIAL),
                    Op.create("/m/c", bytes("c"), OPEN, CreateMode.CONTAINER),
                    Op.create("/m/t", bytes("t"), OPEN, CreateMode.PERSISTENT_WITH_TTL, 500_000),
                    Op.create("/m/f", bytes("f"), OPEN, 0),
                    Op.check("/m/a", 0),
                    Op.setData("/m/a", bytes("A"), 0),
                    Op.check("/m/a", 1),
                    Op.create("/m/a/b", null, OPEN, CreateMode.PERSISTENT),
                    Op.delete("/m/a/b", 0),
                    Op.delete("/m/f", -1))));
    for (String path : List.of("/m", "/m/a", "/m/e", "/m/c", "/m/t", "/m/s-0000000002", "/m/f")) {
      out.call(path, () -> zk.exists(path, false));
    }
    out.call("empty", () -> zk.multi(List.of()));
    out.call("last fails", () -> zk.multi(List.of(Op.setData("/m/a", bytes("B"), -1), Op.create("/m/n", null, OPEN, CreateMode.PERSISTENT), Op.check("/m/a", 9))));
    out.call("first fails", () -> zk.multi(List.of(Op.delete("/m/none", -1), Op.setData("/m/a", bytes("C"), -1), Op.delete("/m/none2", -1))));
    out.call("middle fails", () -> zk.multi(List.of(Op.delete("/m/c", -1), Op.create("/m/a", null, OPEN, CreateMode.PERSISTENT), Op.setData("/m/a", null, -1))));
    out.call("unchanged", () -> zk.getData("/m/a", false, null));
    out.call("not empty", () -> zk.multi(List.of(Op.create("/m/a/k", null, OPEN, CreateMode.PERSISTENT), Op.delete("/m/a", -1))));
    out.call("bad path", () -> zk.multi(List.of(Op.create("/m/ok", null, OPEN, CreateMode.PERSISTENT), Op.delete("/zookeeper", -1))));
    out.call("delete and make again", () -> zk.multi(List.of(Op.delete("/m/a", -1), Op.create("/m/a", bytes("new"), OPEN, CreateMode.PERSISTENT), Op.setData("/m/a", bytes("newer"), 0))));
    out.call("/m/a", () -> zk.exists("/m/a", false));
    out.call("/m", () -> zk.exists("/m", false));
    out.call(
        "transaction",
        () -> zk.transaction().create("/m/tx", bytes("1"), OPEN, CreateMode.PERSISTENT).check("/m/tx", 0).setData("/m/tx", bytes("2"), 0).delete("/m/tx", 1).commit());
    CountDownLatch done = new CountDownLatch(2);
    zk.multi(List.of(Op.create("/m/async", null, OPEN, CreateMode.PERSISTENT), Op.delete("/m/async", -1)), (rc, path, ctx, results) -> { out.line("async " + rc + " " + out.show(results)); done.countDown(); }, null);
    zk.multi(List.of(Op.delete("/m/none", -1), Op.check("/m", -1)), (rc, path, ctx, results) -> { out.line("async failing " + rc + " " + out.show(results)); done.countDown(); }, null);
    done.await(30, TimeUnit.SECONDS);

    out.head("multi read");
    out.call("reads", () -> zk.multi(List.of(Op.getData("/m/a"), Op.getChildren("/m"), Op.getData("/m"), Op.getChildren("/m/a"))));
    out.call("one of none", () -> zk.multi(List.of(Op.getData("/m/none"), Op.getData("/m/a"), Op.getChildren("/m/none"))));
    out.call("mixed with a write", () -> zk.multi(List.of(Op.getData("/m/a"), Op.setData("/m/a", null, -1))));
    out.call("a large multi", () -> {
      List<Op> ops = new java.util.ArrayList<>();
      for (int i = 0; i < 500; i++) {
        ops.add(Op.create("/m/big" + i, bytes("x" + i), OPEN, CreateMode.PERSISTENT));
        ops.add(Op.setData("/m/big" + i, bytes("y"), 0));
      }
      return zk.multi(ops).size();
    });
    out.call("/m", () -> zk.exists("/m", false));
    out.call("deleteall in one", () -> org.apache.zookeeper.ZKUtil.deleteRecursive(zk, "/m", 400));
  }
}

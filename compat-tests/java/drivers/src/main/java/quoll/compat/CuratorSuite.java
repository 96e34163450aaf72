package quoll.compat;

import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryOneTime;

/** Curator's recipes, two clients against one server. One family of recipes per file: Curator*.java. */
final class CuratorSuite {
  /** Longer than any step takes; a step that takes longer shows in the transcript. */
  static final int WAIT_SECONDS = 20;

  private CuratorSuite() {}

  static void run(String server, Transcript out) throws Exception {
    try (CuratorFramework one = client(server);
        CuratorFramework two = client(server)) {
      CuratorFrame.run(one, out);
      CuratorLocks.run(one, two, out);
      CuratorLeaders.run(server, one, two, out);
      CuratorCoordination.run(one, two, out);
      CuratorCaches.run(one, two, out);
      CuratorNodes.run(server, one, two, out);
    }
  }

  static CuratorFramework client(String server) throws InterruptedException {
    CuratorFramework client =
        CuratorFrameworkFactory.builder()
            .connectString(server)
            .sessionTimeoutMs(30_000)
            .connectionTimeoutMs(30_000)
            .retryPolicy(new RetryOneTime(1_000))
            .build();
    client.start();
    if (!client.blockUntilConnected(30, TimeUnit.SECONDS)) {
      throw new IllegalStateException("Curator did not connect to " + server + " in 30 s");
    }
    return client;
  }

  /**
   * Waits until the server of this client has everything that any client was told is done. The clients may talk to
   * different servers of an ensemble, of which one may not have heard yet of what the other has done.
   */
  static void catchUp(CuratorFramework client) throws Exception {
    CountDownLatch done = new CountDownLatch(1);
    client.sync().inBackground((c, event) -> done.countDown()).forPath("/");
    if (!done.await(WAIT_SECONDS, TimeUnit.SECONDS)) {
      throw new IllegalStateException("no answer to a sync");
    }
  }

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}

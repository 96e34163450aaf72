package quoll.compat;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;

/** Leader election by latch and by selector, also when the leader's session ends. */
final class CuratorLeaders {
  private CuratorLeaders() {}

  static void run(String server, CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    latch(server, one, two, out);
    selector(one, two, out);
  }

  private static void latch(String server, CuratorFramework one, CuratorFramework two, Transcript out)
      throws Exception {
    out.head("leader latch");
    CuratorFramework dying = CuratorSuite.client(server);
    LeaderLatch a = new LeaderLatch(dying, "/e/latch", "a");
    LeaderLatch b = new LeaderLatch(one, "/e/latch", "b");
    LeaderLatch c = new LeaderLatch(two, "/e/latch", "c");
    List<String> told = new ArrayList<>();
    b.addListener(new LeaderLatchListener() {
      @Override
      public void isLeader() {
        told.add("b leads");
      }

      @Override
      public void notLeader() {
        told.add("b leads no more");
      }
    });
    a.start();
    out.await("a leads", a::hasLeadership);
    b.start();
    out.await("b is in line", () -> c.getParticipants().size() == 2);
    c.start();
    out.await("c is in line", () -> c.getParticipants().size() == 3);
    out.call("leader", () -> c.getLeader().getId());
    out.call("b does not lead", b::hasLeadership);
    dying.close();
    out.await("b leads after a's session ended", b::hasLeadership);
    CuratorSuite.catchUp(two);
    out.call("leader", () -> c.getLeader().getId());
    b.close(LeaderLatch.CloseMode.NOTIFY_LEADER);
    out.call("c leads", () -> c.await(CuratorSuite.WAIT_SECONDS, TimeUnit.SECONDS));
    out.line("b was told " + told);
    c.close();
    // Closing deletes in the background, and the latch's node is a container that may be reaped by then.
    out.await("nobody is left", () -> one.checkExists().forPath("/e/latch") == null || one.getChildren().forPath("/e/latch").isEmpty());
  }

  private static void selector(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    out.head("leader selector");
    AtomicInteger leading = new AtomicInteger();
    AtomicInteger most = new AtomicInteger();
    CountDownLatch turns = new CountDownLatch(6);
    LeaderSelectorListenerAdapter work = new LeaderSelectorListenerAdapter() {
      @Override
      public void takeLeadership(CuratorFramework client) throws Exception {
        most.accumulateAndGet(leading.incrementAndGet(), Math::max);
        Thread.sleep(10);
        leading.decrementAndGet();
        turns.countDown();
      }
    };
    List<LeaderSelector> all = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      LeaderSelector selector = new LeaderSelector(i == 1 ? two : one, "/e/selector", work);
      selector.setId("s" + i);
      selector.autoRequeue();
      selector.start();
      all.add(selector);
    }
    out.call("six turns", () -> turns.await(CuratorSuite.WAIT_SECONDS, TimeUnit.SECONDS));
    out.line("leaders at once: " + most.get());
    out.await("three take part", () -> all.get(0).getParticipants().size() == 3);
    all.forEach(LeaderSelector::close);
  }
}

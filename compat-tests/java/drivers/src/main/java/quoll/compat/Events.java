package quoll.compat;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooKeeper;

/** A watcher that keeps what it was told, in order. */
final class Events implements Watcher {
  private final String name;
  private final List<String> seen = new ArrayList<>();

  Events(String name) {
    this.name = name;
  }

  @Override
  public synchronized void process(WatchedEvent e) {
    seen.add(e.getState() + " " + e.getType() + " " + e.getPath() + " z" + Long.toHexString(e.getZxid()));
    notifyAll();
  }

  /** Waits until at least {@code count} events came (10 s at most), notes and forgets them all. */
  synchronized void expect(Transcript out, int count) throws InterruptedException {
    long deadline = System.currentTimeMillis() + 10_000;
    while (seen.size() < count && System.currentTimeMillis() < deadline) {
      wait(Math.max(1, deadline - System.currentTimeMillis()));
    }
    out.line("events at " + name + ": " + seen);
    seen.clear();
  }

  /**
   * Waits until all that the server told {@code zk} so far has come, notes and forgets it: the callback of
   * a sync runs behind every notification sent before the sync's reply.
   */
  void settle(Transcript out, ZooKeeper zk) throws InterruptedException {
    settle(out, zk, false);
  }

  /** As {@link #settle}, sorted: for a session's end, which deletes its ephemerals in no set order. */
  void settleSorted(Transcript out, ZooKeeper zk) throws InterruptedException {
    settle(out, zk, true);
  }

  private void settle(Transcript out, ZooKeeper zk, boolean sorted) throws InterruptedException {
    CountDownLatch done = new CountDownLatch(1);
    zk.sync("/", (rc, path, ctx) -> done.countDown(), null);
    if (!done.await(30, TimeUnit.SECONDS)) {
      throw new IllegalStateException("no answer to a sync in 30 s");
    }
    synchronized (this) {
      if (sorted) {
        Collections.sort(seen);
      }
      sortRemovals();
      out.line("events at " + name + ": " + seen);
      seen.clear();
    }
  }

  /** The client itself makes the events of one removal, in the order of a hash table. */
  private void sortRemovals() {
    for (int from = 0; from < seen.size(); from++) {
      int to = from;
      while (to < seen.size() && seen.get(to).contains("WatchRemoved ")) {
        to++;
      }
      Collections.sort(seen.subList(from, to));
    }
  }

  /** Waits until an event of this keeper state came, without forgetting anything. */
  synchronized void awaitState(String state) throws InterruptedException {
    long deadline = System.currentTimeMillis() + 30_000;
    while (seen.stream().noneMatch(e -> e.startsWith(state + " None"))) {
      if (System.currentTimeMillis() >= deadline) {
        throw new IllegalStateException(name + " was never told " + state + ", only " + seen);
      }
      wait(Math.max(1, deadline - System.currentTimeMillis()));
    }
  }
}

package quoll.compat;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.locks.Revoker;
import org.apache.curator.framework.recipes.shared.SharedCount;

/** Locks: mutex, read-write, semaphore, multi lock, revocation, and exclusion under contention. */
final class CuratorLocks {
  private CuratorLocks() {}

  static void run(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    mutex(one, two, out);
    revocation(one, two, out);
    readWrite(one, two, out);
    semaphore(one, two, out);
    multi(one, two, out);
    contention(one, two, out);
  }

  private static void mutex(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    out.head("mutex");
    InterProcessMutex a = new InterProcessMutex(one, "/l/mutex");
    InterProcessMutex b = new InterProcessMutex(two, "/l/mutex");
    out.call("a", () -> a.acquire(10, TimeUnit.SECONDS));
    out.call("a again", () -> a.acquire(10, TimeUnit.SECONDS));
    out.call("b", () -> b.acquire(200, TimeUnit.MILLISECONDS));
    CuratorSuite.catchUp(one);
    out.call("participants", () -> a.getParticipantNodes().size());
    CountDownLatch got = new CountDownLatch(1);
    Thread waiter = new Thread(() -> out.run("b waits", () -> {
      b.acquire();
      got.countDown();
      b.release();
    }));
    waiter.start();
    out.await("b stands in line", () -> a.getParticipantNodes().size() == 2);
    a.release();
    out.line("after one release: " + got.getCount());
    a.release();
    waiter.join();
    out.line("after two: " + got.getCount());
    out.run("a releases what it lacks", a::release);
    InterProcessSemaphoreMutex s = new InterProcessSemaphoreMutex(one, "/l/semmutex");
    out.call("semaphore mutex", () -> s.acquire(10, TimeUnit.SECONDS));
    out.call("not reentrant", () -> s.acquire(200, TimeUnit.MILLISECONDS));
    s.release();
  }

  private static void revocation(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    out.head("revocation");
    InterProcessMutex a = new InterProcessMutex(one, "/l/revoked");
    CountDownLatch asked = new CountDownLatch(1);
    a.makeRevocable(lock -> asked.countDown());
    a.acquire();
    String holder = a.getParticipantNodes().iterator().next();
    out.run("revoke", () -> Revoker.attemptRevoke(two, holder));
    out.call("asked", () -> asked.await(CuratorSuite.WAIT_SECONDS, TimeUnit.SECONDS));
    a.release();
  }

  private static void readWrite(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    out.head("read-write");
    InterProcessReadWriteLock a = new InterProcessReadWriteLock(one, "/l/rw");
    InterProcessReadWriteLock b = new InterProcessReadWriteLock(two, "/l/rw");
    out.call("a reads", () -> a.readLock().acquire(10, TimeUnit.SECONDS));
    out.call("b reads too", () -> b.readLock().acquire(10, TimeUnit.SECONDS));
    out.call("b may not write", () -> b.writeLock().acquire(200, TimeUnit.MILLISECONDS));
    a.readLock().release();
    b.readLock().release();
    out.call("b writes", () -> b.writeLock().acquire(10, TimeUnit.SECONDS));
    out.call("b reads under its write", () -> b.readLock().acquire(10, TimeUnit.SECONDS));
    out.call("a may not read", () -> a.readLock().acquire(200, TimeUnit.MILLISECONDS));
    b.writeLock().release();
    out.call("downgraded: a reads", () -> a.readLock().acquire(10, TimeUnit.SECONDS));
    a.readLock().release();
    b.readLock().release();
  }

  private static void semaphore(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    out.head("semaphore");
    InterProcessSemaphoreV2 a = new InterProcessSemaphoreV2(one, "/l/sem", 3);
    InterProcessSemaphoreV2 b = new InterProcessSemaphoreV2(two, "/l/sem", 3);
    List<Lease> leases = new ArrayList<>();
    out.call("two", () -> leases.addAll(a.acquire(2, 10, TimeUnit.SECONDS)));
    Lease third = b.acquire(10, TimeUnit.SECONDS);
    out.line("third: " + (third != null));
    out.call("fourth", () -> b.acquire(200, TimeUnit.MILLISECONDS));
    a.returnLease(leases.get(0));
    Lease again = b.acquire(10, TimeUnit.SECONDS);
    out.line("after a return: " + (again != null));
    CuratorSuite.catchUp(one);
    out.call("participants", () -> a.getParticipantNodes().size());
    b.returnLease(third);
    b.returnLease(again);
    a.returnLease(leases.get(1));
    SharedCount count = new SharedCount(one, "/l/leases", 1);
    count.start();
    InterProcessSemaphoreV2 c = new InterProcessSemaphoreV2(one, "/l/sem2", count);
    Lease first = c.acquire(10, TimeUnit.SECONDS);
    out.call("second of one", () -> c.acquire(200, TimeUnit.MILLISECONDS));
    count.setCount(2);
    Lease second = c.acquire(10, TimeUnit.SECONDS);
    out.line("second of two: " + (second != null));
    c.returnLease(first);
    c.returnLease(second);
    count.close();
  }

  private static void multi(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    out.head("multi lock");
    InterProcessLock all = new InterProcessMultiLock(one, List.of("/l/m1", "/l/m2"));
    InterProcessMutex other = new InterProcessMutex(two, "/l/m2");
    other.acquire();
    out.call("one is taken", () -> all.acquire(300, TimeUnit.MILLISECONDS));
    other.release();
    out.call("all free", () -> all.acquire(10, TimeUnit.SECONDS));
    out.call("other", () -> other.acquire(200, TimeUnit.MILLISECONDS));
    all.release();
  }

  private static void contention(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    out.head("contention");
    ExecutorService pool = Executors.newFixedThreadPool(8);
    AtomicInteger inside = new AtomicInteger();
    AtomicInteger most = new AtomicInteger();
    List<Integer> entries = Collections.synchronizedList(new ArrayList<>());
    List<Future<?>> all = new ArrayList<>();
    for (int i = 0; i < 8; i++) {
      InterProcessMutex lock = new InterProcessMutex(i % 2 == 0 ? one : two, "/l/contended");
      all.add(pool.submit(() -> {
        for (int n = 0; n < 10; n++) {
          lock.acquire();
          most.accumulateAndGet(inside.incrementAndGet(), Math::max);
          entries.add(n);
          inside.decrementAndGet();
          lock.release();
        }
        return null;
      }));
    }
    for (Future<?> future : all) {
      future.get(60, TimeUnit.SECONDS);
    }
    pool.shutdown();
    out.line("entries " + entries.size() + ", at once at most " + most.get());
  }
}

package quoll.compat;

import static quoll.compat.CuratorSuite.WAIT_SECONDS;
import static quoll.compat.CuratorSuite.bytes;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.CachedAtomicLong;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicInteger;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicValue;
import org.apache.curator.framework.recipes.atomic.PromotedToLock;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.queue.DistributedDelayQueue;
import org.apache.curator.framework.recipes.queue.DistributedIdQueue;
import org.apache.curator.framework.recipes.queue.DistributedPriorityQueue;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedCountListener;
import org.apache.curator.framework.recipes.shared.SharedCountReader;
import org.apache.curator.framework.recipes.shared.SharedValue;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;

/** Barriers, counters, shared values and queues. */
final class CuratorCoordination {
  private CuratorCoordination() {}

  static void run(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    barriers(one, two, out);
    counters(one, two, out);
    shared(one, two, out);
    queues(one, two, out);
  }

  private static void barriers(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    out.head("barriers");
    DistributedBarrier a = new DistributedBarrier(one, "/b/barrier");
    DistributedBarrier b = new DistributedBarrier(two, "/b/barrier");
    a.setBarrier();
    CuratorSuite.catchUp(two);
    out.call("closed", () -> b.waitOnBarrier(200, TimeUnit.MILLISECONDS));
    Thread opener = new Thread(() -> out.run("open", a::removeBarrier));
    opener.start();
    opener.join();
    out.call("opened", () -> b.waitOnBarrier(WAIT_SECONDS, TimeUnit.SECONDS));
    ExecutorService pool = Executors.newFixedThreadPool(3);
    List<Future<Boolean>> through = new ArrayList<>();
    CountDownLatch entered = new CountDownLatch(3);
    for (int i = 0; i < 3; i++) {
      DistributedDoubleBarrier barrier = new DistributedDoubleBarrier(i == 0 ? one : two, "/b/double", 3);
      through.add(pool.submit(() -> {
        boolean in = barrier.enter(WAIT_SECONDS, TimeUnit.SECONDS);
        entered.countDown();
        entered.await();
        return in && barrier.leave(WAIT_SECONDS, TimeUnit.SECONDS);
      }));
    }
    for (Future<Boolean> f : through) {
      out.call("double barrier", () -> f.get(60, TimeUnit.SECONDS));
    }
    pool.shutdown();
    DistributedDoubleBarrier lonely = new DistributedDoubleBarrier(one, "/b/lonely", 2);
    out.call("alone", () -> lonely.enter(200, TimeUnit.MILLISECONDS));
  }

  private static void counters(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    out.head("counters");
    RetryNTimes retry = new RetryNTimes(100, 5);
    ExecutorService pool = Executors.newFixedThreadPool(4);
    List<Future<Boolean>> all = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      DistributedAtomicLong counter =
          new DistributedAtomicLong(i % 2 == 0 ? one : two, "/b/long", retry, PromotedToLock.builder().lockPath("/b/long-lock").timeout(30, TimeUnit.SECONDS).build());
      all.add(pool.submit(() -> {
        boolean ok = true;
        for (int n = 0; n < 10; n++) {
          ok &= counter.increment().succeeded();
        }
        return ok;
      }));
    }
    for (Future<Boolean> f : all) {
      out.call("ten increments", () -> f.get(60, TimeUnit.SECONDS));
    }
    pool.shutdown();
    DistributedAtomicLong counter = new DistributedAtomicLong(one, "/b/long", retry);
    CuratorSuite.catchUp(one);
    out.call("sum", () -> counter.get().postValue().toString());
    out.call("subtract", () -> counter.subtract(5L).postValue().toString());
    out.call("compare and set", () -> counter.compareAndSet(35L, 7L).succeeded());
    out.call("compare and set of another", () -> counter.compareAndSet(35L, 8L).succeeded());
    out.call("initialize again", () -> counter.initialize(1L));
    CachedAtomicLong cached = new CachedAtomicLong(counter, 10);
    out.call("cached", () -> cached.next().postValue() + " " + cached.next().postValue());
    DistributedAtomicInteger integer = new DistributedAtomicInteger(two, "/b/int", retry);
    out.call("integer", () -> integer.add(3).postValue() + " " + integer.decrement().postValue());
    DistributedAtomicValue value = new DistributedAtomicValue(two, "/b/value", retry);
    out.call("value", () -> value.trySet(bytes("v")).succeeded() + " " + new String(value.get().postValue(), StandardCharsets.UTF_8));
  }

  private static void shared(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    out.head("shared values");
    SharedCount a = new SharedCount(one, "/b/shared", 5);
    SharedCount b = new SharedCount(two, "/b/shared", 6);
    List<Integer> seen = Collections.synchronizedList(new ArrayList<>());
    b.addListener(new SharedCountListener() {
      @Override
      public void countHasChanged(SharedCountReader reader, int count) {
        seen.add(count);
      }

      @Override
      public void stateChanged(CuratorFramework client, ConnectionState state) {}
    });
    a.start();
    b.start();
    out.call("b starts with a's", b::getCount);
    out.run("set", () -> a.setCount(9));
    out.await("b sees it", () -> b.getCount() == 9 && seen.contains(9));
    out.call("try with a current version", () -> b.trySetCount(b.getVersionedValue(), 10));
    out.await("a sees it", () -> a.getCount() == 10);
    a.close();
    b.close();
    SharedValue value = new SharedValue(one, "/b/sharedvalue", bytes("seed"));
    value.start();
    out.call("seed", value::getValue);
    out.run("set", () -> value.setValue(bytes("new")));
    out.call("value", value::getValue);
    value.close();
  }

  private static void queues(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    out.head("queues");
    Consumer plain = new Consumer();
    DistributedQueue<String> queue = QueueBuilder.builder(one, plain, TEXT, "/b/queue").lockPath("/b/queue-lock").buildQueue();
    queue.start();
    for (String item : List.of("first", "second", "third")) {
      queue.put(item);
    }
    out.await("three taken", () -> plain.taken.size() == 3);
    out.line("in order: " + plain.taken);
    queue.close();
    Consumer prior = new Consumer();
    DistributedPriorityQueue<String> feeder = QueueBuilder.builder(two, (QueueConsumer<String>) null, TEXT, "/b/prio").buildPriorityQueue(0);
    feeder.start();
    feeder.put("low", 9);
    feeder.put("high", 1);
    feeder.put("middle", 5);
    out.await("put", () -> feeder.flushPuts(1, TimeUnit.SECONDS));
    DistributedPriorityQueue<String> priority = QueueBuilder.builder(one, prior, TEXT, "/b/prio").buildPriorityQueue(0);
    // Whoever takes before all are there takes in another order.
    CuratorSuite.catchUp(one);
    priority.start();
    out.await("three by priority", () -> prior.taken.size() == 3);
    out.line("in order: " + prior.taken);
    priority.close();
    feeder.close();
    Consumer late = new Consumer();
    DistributedDelayQueue<String> delay = QueueBuilder.builder(one, late, TEXT, "/b/delay").buildDelayQueue();
    delay.start();
    delay.put("late", System.currentTimeMillis() + 600);
    delay.put("early", System.currentTimeMillis() + 50);
    out.await("two after their delay", () -> late.taken.size() == 2);
    out.line("in order: " + late.taken);
    delay.close();
    DistributedIdQueue<String> ids = QueueBuilder.builder(one, (QueueConsumer<String>) null, TEXT, "/b/ids").buildIdQueue();
    ids.start();
    ids.put("a", "ida");
    ids.put("b", "idb");
    out.await("put", () -> ids.flushPuts(1, TimeUnit.SECONDS));
    out.call("remove by id", () -> ids.remove("ida"));
    out.call("left", () -> one.getChildren().forPath("/b/ids").size());
    ids.close();
    SimpleDistributedQueue simple = new SimpleDistributedQueue(one, "/b/simple");
    SimpleDistributedQueue other = new SimpleDistributedQueue(two, "/b/simple");
    out.call("poll of none", () -> simple.poll(100, TimeUnit.MILLISECONDS));
    out.call("offer", () -> simple.offer(bytes("1")) && other.offer(bytes("2")));
    out.call("peek", other::peek);
    out.call("take", () -> new String(other.take()) + new String(simple.take()));
  }

  private static final QueueSerializer<String> TEXT = new QueueSerializer<>() {
    @Override
    public byte[] serialize(String item) {
      return bytes(item);
    }

    @Override
    public String deserialize(byte[] bytes) {
      return new String(bytes, StandardCharsets.UTF_8);
    }
  };

  private static final class Consumer implements QueueConsumer<String> {
    final List<String> taken = Collections.synchronizedList(new ArrayList<>());

    @Override
    public void consumeMessage(String message) {
      taken.add(message);
    }

    @Override
    public void stateChanged(CuratorFramework client, ConnectionState state) {}
  }
}

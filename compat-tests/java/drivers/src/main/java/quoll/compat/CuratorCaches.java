package quoll.compat;

import static quoll.compat.CuratorSuite.bytes;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;

/** Caches over persistent watches (CuratorCache) and over one-shot ones (the older three). */
@SuppressWarnings("deprecation")
final class CuratorCaches {
  private CuratorCaches() {}

  static void run(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    curatorCache(one, two, out);
    older(one, two, out);
    persistentWatcher(one, two, out);
  }

  private static void curatorCache(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    out.head("CuratorCache");
    two.create().creatingParentsIfNeeded().forPath("/c/a/x", bytes("x"));
    CuratorSuite.catchUp(one);
    List<String> seen = Collections.synchronizedList(new ArrayList<>());
    CountDownLatch ready = new CountDownLatch(1);
    CuratorCache cache = CuratorCache.build(one, "/c");
    cache.listenable().addListener(
        CuratorCacheListener.builder()
            .forInitialized(ready::countDown)
            .forCreates(node -> seen.add("created " + node.getPath()))
            .forChanges((was, is) -> seen.add("changed " + is.getPath() + " " + text(was.getData()) + "->" + text(is.getData())))
            .forDeletes(node -> seen.add("deleted " + node.getPath()))
            .build());
    cache.start();
    out.call("initialized", () -> ready.await(CuratorSuite.WAIT_SECONDS, TimeUnit.SECONDS));
    out.line("first: " + new TreeSet<>(seen));
    out.line("size " + cache.size());
    seen.clear();
    // One change at a time: the cache reads a node after being told of it, and would skip a value that
    // has been replaced meanwhile.
    step(out, seen, "created /c/b", () -> two.create().forPath("/c/b", bytes("1")));
    step(out, seen, "changed /c/b 1->2", () -> two.setData().forPath("/c/b", bytes("2")));
    step(out, seen, "created /c/b/deep", () -> two.create().creatingParentsIfNeeded().forPath("/c/b/deep", null));
    step(out, seen, "deleted /c/b/deep", () -> two.delete().forPath("/c/b/deep"));
    step(out, seen, "deleted /c/b", () -> two.delete().forPath("/c/b"));
    step(out, seen, "created /c/own", () -> one.create().forPath("/c/own", bytes("o")));
    out.call("looked up", () -> text(cache.get("/c/own").get().getData()));
    for (int i = 0; i < 200; i++) {
      two.create().forPath("/c/many" + i, bytes("" + i));
    }
    out.await("two hundred more", () -> cache.size() == 204);
    cache.close();
    CuratorCache single = CuratorCache.build(one, "/c/a", CuratorCache.Options.SINGLE_NODE_CACHE);
    single.start();
    out.await("single node", () -> single.size() == 1);
    single.close();
  }

  private static void step(Transcript out, List<String> seen, String expected, Transcript.Action change) throws Exception {
    change.run();
    out.await(expected, () -> seen.contains(expected));
  }

  private static void older(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    out.head("older caches");
    two.create().creatingParentsIfNeeded().forPath("/o/a", bytes("1"));
    two.create().forPath("/o/b", bytes("2"));
    CuratorSuite.catchUp(one);
    try (NodeCache node = new NodeCache(one, "/o/a")) {
      node.start(true);
      out.line("node " + text(node.getCurrentData().getData()));
      two.setData().forPath("/o/a", bytes("11"));
      out.await("node changed", () -> text(node.getCurrentData().getData()).equals("11"));
    }
    try (PathChildrenCache children = new PathChildrenCache(one, "/o", true)) {
      children.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
      out.line("children " + children.getCurrentData().size());
      two.create().forPath("/o/c", bytes("3"));
      two.setData().forPath("/o/b", bytes("22"));
      two.delete().forPath("/o/a");
      out.await("children changed", () -> children.getCurrentData().size() == 2 && children.getCurrentData("/o/a") == null && text(children.getCurrentData("/o/b").getData()).equals("22"));
    }
    try (TreeCache tree = TreeCache.newBuilder(one, "/o").build()) {
      tree.start();
      out.await("tree", () -> tree.getCurrentChildren("/o") != null && tree.getCurrentChildren("/o").size() == 2);
      two.create().creatingParentsIfNeeded().forPath("/o/b/deep/er", bytes("d"));
      out.await("tree grew", () -> tree.getCurrentData("/o/b/deep/er") != null);
      two.delete().deletingChildrenIfNeeded().forPath("/o/b");
      out.await("tree shrank", () -> tree.getCurrentData("/o/b") == null);
      out.line("left " + new TreeMap<>(tree.getCurrentChildren("/o")).keySet());
    }
  }

  private static void persistentWatcher(CuratorFramework one, CuratorFramework two, Transcript out) throws Exception {
    out.head("PersistentWatcher");
    List<String> seen = Collections.synchronizedList(new ArrayList<>());
    try (PersistentWatcher watcher = new PersistentWatcher(one, "/pw", true)) {
      CountDownLatch set = new CountDownLatch(1);
      watcher.getResetListenable().addListener(set::countDown);
      watcher.getListenable().addListener(event -> seen.add(event.getType() + " " + event.getPath()));
      watcher.start();
      out.call("set", () -> set.await(CuratorSuite.WAIT_SECONDS, TimeUnit.SECONDS));
      two.create().creatingParentsIfNeeded().forPath("/pw/a/b", null);
      two.setData().forPath("/pw/a", bytes("x"));
      two.delete().deletingChildrenIfNeeded().forPath("/pw");
      out.await("seven events", () -> seen.size() == 7);
      out.line(seen.toString());
    }
  }

  private static String text(byte[] data) {
    return data == null ? "null" : new String(data, StandardCharsets.UTF_8);
  }
}

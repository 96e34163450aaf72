package quoll.compat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/**
 * What a client saw, one line per observation, with only times and session ids masked.
 *
 * <p>Zxids stay: both servers start empty and get the same requests in the same order.
 */
final class Transcript {
  private final StringBuilder text = new StringBuilder();
  private final Map<Long, String> sessions = new LinkedHashMap<>();

  /** A condition to wait for. */
  interface Condition {
    boolean holds() throws Exception;
  }

  /** An action that may fail. */
  interface Action {
    void run() throws Exception;
  }

  synchronized String text() {
    return text.toString();
  }

  synchronized void line(String line) {
    text.append(line).append('\n');
  }

  void head(String title) {
    line("== " + title);
  }

  /** From here on the session's id is shown as this name. */
  synchronized void session(long id, String name) {
    sessions.put(id, name);
  }

  /** Notes what a call answers or how it fails. */
  <T> T call(String label, Callable<T> call) {
    try {
      T value = call.call();
      line(label + ": " + show(value));
      return value;
    } catch (Throwable e) {
      line(label + ": ! " + failure(e));
      return null;
    }
  }

  /** As {@link #call} for calls without a value. */
  void run(String label, Action action) {
    call(
        label,
        () -> {
          action.run();
          return "done";
        });
  }

  static String failure(Throwable e) {
    if (e instanceof KeeperException k) {
      StringBuilder out = new StringBuilder(k.code() + " path=" + k.getPath());
      if (k.getResults() != null) {
        out.append(" results=").append(k.getResults().stream().map(Transcript::result).toList());
      }
      return out.toString();
    }
    return e.getClass().getSimpleName() + (e.getMessage() == null ? "" : " " + e.getMessage());
  }

  private static String result(OpResult r) {
    if (r instanceof OpResult.ErrorResult e) {
      return "error " + e.getErr();
    }
    return r.getClass().getSimpleName();
  }

  String show(Object value) {
    if (value == null) {
      return "null";
    }
    if (value instanceof byte[] b) {
      return b.length > 64 ? b.length + " bytes, hash " + java.util.Arrays.hashCode(b) : quoted(b);
    }
    if (value instanceof Stat s) {
      return stat(s);
    }
    if (value instanceof OpResult.CreateResult c) {
      return "created " + c.getPath() + (c.getStat() == null ? "" : " " + stat(c.getStat()));
    }
    if (value instanceof OpResult.SetDataResult s) {
      return "set " + stat(s.getStat());
    }
    if (value instanceof OpResult.GetDataResult g) {
      return "data " + show(g.getData()) + " " + stat(g.getStat());
    }
    if (value instanceof OpResult.GetChildrenResult g) {
      return "children " + new TreeSet<>(g.getChildren());
    }
    if (value instanceof OpResult r) {
      return result(r);
    }
    if (value instanceof ACL a) {
      return a.getPerms() + ":" + show(a.getId());
    }
    if (value instanceof Id i) {
      return i.getScheme() + ":" + i.getId();
    }
    if (value instanceof ClientInfo i) {
      return i.getAuthScheme() + ":" + i.getUser();
    }
    if (value instanceof Collection<?> list) {
      List<String> shown = new ArrayList<>();
      list.forEach(item -> shown.add(show(item)));
      // The server lists identities in the order of a hash table.
      if (list.stream().anyMatch(ClientInfo.class::isInstance)) {
        Collections.sort(shown);
      }
      return shown.toString();
    }
    if (value instanceof Long l) {
      return owner(l);
    }
    return value.toString();
  }

  private static String quoted(byte[] b) {
    return "\"" + new String(b, StandardCharsets.UTF_8) + "\"";
  }

  private synchronized String owner(long id) {
    return sessions.getOrDefault(id, Long.toHexString(id));
  }

  private String stat(Stat s) {
    return String.format(
        "{cz=%x mz=%x pz=%x ctime=%s mtime=%s v=%d cv=%d av=%d owner=%s len=%d kids=%d}",
        s.getCzxid(),
        s.getMzxid(),
        s.getPzxid(),
        time(s.getCtime()),
        time(s.getMtime()),
        s.getVersion(),
        s.getCversion(),
        s.getAversion(),
        owner(s.getEphemeralOwner()),
        s.getDataLength(),
        s.getNumChildren());
  }

  /** A time within the last hour is T: the two servers run at different moments. */
  private static String time(long ms) {
    long age = System.currentTimeMillis() - ms;
    return age > -60_000 && age < 3_600_000 ? "T" : Long.toString(ms);
  }

  /** Waits up to 30 s for a condition and notes whether it came to hold. */
  boolean await(String label, Condition condition) {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
    Throwable last = null;
    while (System.nanoTime() < deadline) {
      try {
        if (condition.holds()) {
          line(label + ": yes");
          return true;
        }
      } catch (Throwable e) {
        last = e;
      }
      try {
        Thread.sleep(10);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        break;
      }
    }
    line(label + ": not within 30 s" + (last == null ? "" : ", " + failure(last)));
    return false;
  }
}

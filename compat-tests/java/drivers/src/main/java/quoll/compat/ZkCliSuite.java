package quoll.compat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.apache.zookeeper.ZooKeeperMain;
import org.apache.zookeeper.util.ServiceUtils;

/**
 * The stock command line client, fed the lines of {@code zkcli/session.txt} through its standard input, and
 * run once for each line of {@code zkcli/oneshot.txt} with its exit code.
 *
 * <p>It runs inside this JVM: starting one per command would take minutes. What the client's event thread
 * prints is kept apart from what a command prints, since the two race for the terminal.
 */
final class ZkCliSuite {
  private static final Pattern DATE =
      Pattern.compile("\\b[A-Z][a-z]{2} [A-Z][a-z]{2} \\d{2} \\d{2}:\\d{2}:\\d{2} [A-Z]+ 20[2-9]\\d");

  /** Thrown in place of leaving the JVM. */
  private static final class Exit extends Error {
    final int code;

    Exit(int code) {
      super(null, null, false, false);
      this.code = code;
    }
  }

  /** The run whose output is caught now; zkCli keeps the first System.out it saw for good. */
  private static ZkCliSuite current;

  private static final PrintStream CAPTURE = capture();

  private final Thread main = Thread.currentThread();
  private final String server;
  private final Transcript out;
  private final ByteArrayOutputStream printed = new ByteArrayOutputStream();
  /** What each client's event thread printed, in the order of their first words. */
  private final Map<Thread, ByteArrayOutputStream> events =
      Collections.synchronizedMap(new LinkedHashMap<>());

  private ZkCliSuite(String server, Transcript out) {
    this.server = server;
    this.out = out;
  }

  static void run(String server, Transcript out) throws Exception {
    PrintStream stdout = System.out;
    PrintStream stderr = System.err;
    InputStream stdin = System.in;
    ZkCliSuite suite = new ZkCliSuite(server, out);
    ServiceUtils.setSystemExitProcedure(
        code -> {
          throw new Exit(code);
        });
    try {
      current = suite;
      System.setOut(CAPTURE);
      System.setErr(CAPTURE);
      suite.session(lines("zkcli/session.txt"));
      for (String line : lines("zkcli/oneshot.txt")) {
        suite.oneShot(line);
      }
    } finally {
      System.setOut(stdout);
      System.setErr(stderr);
      System.setIn(stdin);
      ServiceUtils.setSystemExitProcedure(ServiceUtils.SYSTEM_EXIT);
    }
  }

  private static List<String> lines(String resource) throws IOException {
    try (InputStream in = ZkCliSuite.class.getClassLoader().getResourceAsStream(resource)) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8)
          .lines()
          .filter(line -> !line.isBlank() && !line.startsWith("#"))
          .toList();
    }
  }

  private void session(List<String> lines) throws Exception {
    out.head("one session through standard input");
    Path file = Files.createTempFile("members", ".txt");
    Files.writeString(file, "server.1=localhost:1:2:participant;localhost:3\n");
    System.setIn(new Script(lines.stream().map(l -> l.replace("@FILE@", file.toString())).toList()));
    int code = main("-server", server, "-waitforconnection");
    flush();
    Files.delete(file);
    out.line("exit " + code);
    synchronized (events) {
      for (ByteArrayOutputStream told : events.values()) {
        out.line("-- told by the event thread of one connection");
        watched(mask(told.toString(StandardCharsets.UTF_8))).forEach(out::line);
      }
    }
    events.clear();
  }

  private void oneShot(String line) throws Exception {
    out.line("$ zkCli " + line);
    String[] arguments = line.split(" ");
    String[] all = new String[arguments.length + 3];
    all[0] = "-server";
    all[1] = server;
    all[2] = "-waitforconnection";
    System.arraycopy(arguments, 0, all, 3, arguments.length);
    int code = main(all);
    flush();
    out.line("exit " + code);
    events.clear();
  }

  /** The events printed, those of one removal sorted: the client makes them in the order of a hash table. */
  private static List<String> watched(String text) {
    List<String> events = new ArrayList<>(text.lines().filter(l -> l.startsWith("WatchedEvent")).toList());
    for (int from = 0; from < events.size(); from++) {
      int to = from;
      while (to < events.size() && events.get(to).contains("WatchRemoved ")) {
        to++;
      }
      Collections.sort(events.subList(from, to));
    }
    return events;
  }

  private int main(String... arguments) throws Exception {
    try {
      ZooKeeperMain.main(arguments);
      return -1;
    } catch (Exit exit) {
      return exit.code;
    } catch (Exception e) {
      // As a JVM of its own would end: with the stack's first line on standard error and code 1.
      System.err.println("Exception in thread \"main\" " + e);
      return 1;
    }
  }

  /** Writes by the thread that runs zkCli and by its event threads go to different places. */
  private static PrintStream capture() {
    return new PrintStream(
        new OutputStream() {
          @Override
          public void write(int b) {
            target().write(b);
          }

          @Override
          public void write(byte[] b, int off, int len) {
            target().write(b, off, len);
          }

          private ByteArrayOutputStream target() {
            Thread writer = Thread.currentThread();
            return writer == current.main
                ? current.printed
                : current.events.computeIfAbsent(writer, t -> new ByteArrayOutputStream());
          }
        },
        true,
        StandardCharsets.UTF_8);
  }

  private void flush() {
    String text = mask(printed.toString(StandardCharsets.UTF_8)).stripTrailing();
    // The server lists identities in the order of a hash table.
    int identities = text.indexOf("Auth scheme: User\n");
    if (identities >= 0) {
      int from = identities + "Auth scheme: User\n".length();
      text = text.substring(0, from) + String.join("\n", text.substring(from).lines().sorted().toList());
    }
    out.line(text);
    printed.reset();
  }

  private String mask(String text) {
    return DATE.matcher(text.replace(server, "SERVER")).replaceAll("DATE")
        .replaceAll("ephemeralOwner = 0x[0-9a-f]{6,}", "ephemeralOwner = SESSION")
        // Whether the client has heard by then that its addauth has failed is a matter of luck.
        .replace("KeeperErrorCode = AuthFailed for /", "Not connected")
        .replaceAll("members\\d+", "MEMBERS");
  }

  /** Standard input that hands out a line at a time, after what the line before printed is noted. */
  private final class Script extends InputStream {
    private final List<String> lines;
    private int next;

    Script(List<String> lines) {
      this.lines = lines;
    }

    @Override
    public int read() {
      throw new UnsupportedOperationException("zkCli reads blocks");
    }

    @Override
    public int read(byte[] buffer, int off, int len) {
      flush();
      if (next == lines.size()) {
        return -1;
      }
      String line = lines.get(next++).replace("@SERVER@", server);
      out.line("> " + mask(line));
      byte[] bytes = (line + "\n").getBytes(StandardCharsets.UTF_8);
      System.arraycopy(bytes, 0, buffer, off, bytes.length);
      return bytes.length;
    }
  }
}

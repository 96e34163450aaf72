package quoll.compat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Runs one suite against one or several servers and writes a transcript for each.
 *
 * <p>Usage: {@code Main SUITE HOST:PORT=FILE...}; suites: api, zkcli, curator. One JVM drives all servers,
 * since starting one costs more than most suites.
 */
public final class Main {
  private Main() {}

  /** A suite: talks to one server and notes what it sees. */
  interface Suite {
    void run(String server, Transcript out) throws Exception;
  }

  public static void main(String[] args) throws Exception {
    Suite suite =
        switch (args[0]) {
          case "api" -> ApiSuite::run;
          case "zkcli" -> ZkCliSuite::run;
          case "curator" -> CuratorSuite::run;
          default -> throw new IllegalArgumentException("no suite " + args[0]);
        };
    // zkCli keeps its state in statics and prints to System.out: one server after the other. The others
    // wait most of their time (expiry, watches): the servers side by side.
    boolean sideBySide = !args[0].equals("zkcli");
    List<Thread> threads = new ArrayList<>();
    List<Throwable> failures = new ArrayList<>();
    for (int i = 1; i < args.length; i++) {
      int split = args[i].lastIndexOf('=');
      String server = args[i].substring(0, split);
      Path file = Path.of(args[i].substring(split + 1));
      Thread thread =
          new Thread(
              () -> {
                Transcript out = new Transcript();
                try {
                  suite.run(server, out);
                } catch (Throwable e) {
                  synchronized (failures) {
                    failures.add(e);
                  }
                  out.line("the suite ended early: " + e);
                }
                try {
                  Files.write(file, out.text().getBytes(StandardCharsets.UTF_8));
                } catch (Exception e) {
                  synchronized (failures) {
                    failures.add(e);
                  }
                }
              });
      thread.start();
      if (sideBySide) {
        threads.add(thread);
      } else {
        thread.join();
      }
    }
    for (Thread thread : threads) {
      thread.join();
    }
    for (Throwable failure : failures) {
      failure.printStackTrace();
    }
    // Clients leave threads behind; a failed suite is told apart by the exit code.
    Runtime.getRuntime().halt(failures.isEmpty() ? 0 : 1);
  }
}

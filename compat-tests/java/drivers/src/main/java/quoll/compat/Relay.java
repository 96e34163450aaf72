package quoll.compat;

import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.HashSet;
import java.util.Set;

/**
 * A TCP relay between a client and a server that can be cut and mended, for clients that must lose their
 * connection but not their session.
 */
final class Relay implements Closeable {
  private final ServerSocket listener;
  private final int target;
  private final Set<Socket> open = new HashSet<>();
  private boolean cut;

  Relay(String server) throws IOException {
    target = Integer.parseInt(server.substring(server.lastIndexOf(':') + 1));
    listener = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.1"));
    daemon(this::accept);
  }

  String address() {
    return "127.0.0.1:" + listener.getLocalPort();
  }

  /** Closes all connections and accepts none until {@link #mend}. */
  synchronized void cut() {
    cut = true;
    open.forEach(Relay::closeQuietly);
    open.clear();
  }

  synchronized void mend() {
    cut = false;
  }

  @Override
  public void close() throws IOException {
    listener.close();
    cut();
  }

  private void accept() {
    while (!listener.isClosed()) {
      try {
        Socket client = listener.accept();
        synchronized (this) {
          if (cut) {
            closeQuietly(client);
            continue;
          }
          Socket server = new Socket("127.0.0.1", target);
          client.setTcpNoDelay(true);
          server.setTcpNoDelay(true);
          open.add(client);
          open.add(server);
          daemon(() -> copy(client, server));
          daemon(() -> copy(server, client));
        }
      } catch (IOException e) {
        // The listener was closed, or one connection failed: the client tries again.
      }
    }
  }

  private static void copy(Socket from, Socket to) {
    byte[] buffer = new byte[65536];
    try (InputStream in = from.getInputStream();
        OutputStream out = to.getOutputStream()) {
      for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
        out.write(buffer, 0, n);
      }
    } catch (IOException e) {
      // One side is gone: so is the other.
    } finally {
      closeQuietly(from);
      closeQuietly(to);
    }
  }

  private static void daemon(Runnable work) {
    Thread thread = new Thread(work, "relay");
    thread.setDaemon(true);
    thread.start();
  }

  private static void closeQuietly(Socket socket) {
    try {
      socket.close();
    } catch (IOException e) {
      // Nothing more can be done about it.
    }
  }
}

package quoll.compat;

import static quoll.compat.ApiSuite.OPEN;
import static quoll.compat.ApiSuite.bytes;

import java.util.Arrays;
import java.util.List;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;

/** Access control: every scheme, every permission denied, masked ids, super user, bad credentials. */
final class ApiAcls {
  private ApiAcls() {}

  static void run(String server, ZooKeeper open, Transcript out) throws Exception {
    out.head("acls");
    ApiSuite.create(open, "/acl");
    String ann = DigestAuthenticationProvider.generateDigest("ann:secret");
    Id annId = new Id("digest", ann);
    Events events = new Events("ann");
    ZooKeeper zk = ApiSuite.connect(server, out, "ann", events);
    out.call("auth scheme without identity", () -> zk.create("/acl/early", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
    zk.addAuthInfo("digest", bytes("ann:secret"));
    out.call("whoAmI", zk::whoAmI);
    out.call("create with creator acl", () -> zk.create("/acl/mine", bytes("m"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
    Stat stat = new Stat();
    out.call("owner reads acl", () -> zk.getACL("/acl/mine", stat));
    out.call("Stat", () -> stat);
    denied(open, out, "/acl/mine");
    int[] perms = {Perms.READ, Perms.WRITE, Perms.CREATE, Perms.DELETE, Perms.ADMIN, 0, 32 | Perms.READ};
    for (int perm : perms) {
      String path = "/acl/p" + perm;
      out.call("create " + path, () -> zk.create(path, bytes("p"), Arrays.asList(new ACL(perm, Ids.ANYONE_ID_UNSAFE), new ACL(Perms.ALL, annId)), CreateMode.PERSISTENT));
      denied(open, out, path);
      out.call("as stored", () -> zk.exists(path, false));
    }
    out.call("setACL 0", () -> zk.setACL("/acl/mine", Arrays.asList(new ACL(Perms.READ, new Id("ip", "127.0.0.1")), new ACL(Perms.ALL, annId)), 0));
    out.call("setACL 0 again", () -> zk.setACL("/acl/mine", OPEN, 0));
    out.call("open reads by ip", () -> open.getData("/acl/mine", false, null));
    out.call("open reads acl", () -> open.getACL("/acl/mine", null));
    out.call("ip range", () -> zk.create("/acl/ip", null, Arrays.asList(new ACL(Perms.ALL, new Id("ip", "127.0.0.0/8"))), CreateMode.PERSISTENT));
    out.call("ip other", () -> zk.create("/acl/ip2", null, Arrays.asList(new ACL(Perms.ALL, new Id("ip", "10.0.0.0/8"))), CreateMode.PERSISTENT));
    out.call("read ip range", () -> open.getData("/acl/ip", false, null));
    out.call("read ip other", () -> open.getData("/acl/ip2", false, null));
    out.call("duplicates", () -> zk.create("/acl/dup", null, Arrays.asList(OPEN.get(0), OPEN.get(0), new ACL(Perms.READ, annId)), CreateMode.PERSISTENT));
    out.call("as stored", () -> zk.getACL("/acl/dup", null));
    for (Id id : List.of(new Id("world", "someone"), new Id("none", "x"), new Id("digest", "nocolon"), new Id("digest", "a:b:c"), new Id("ip", "1.2.3"), new Id("ip", "1.2.3.4/33"), new Id("super", "x"), new Id("sasl", "bob"), new Id("x509", "CN=x"), new Id("auth", "ignored"))) {
      String path = "/acl/i" + id.getScheme() + id.getId().hashCode();
      out.call("acl of " + id.getScheme() + ":" + id.getId(), () -> zk.create(path, null, Arrays.asList(new ACL(Perms.READ, id)), CreateMode.PERSISTENT));
      out.call("as stored", () -> zk.getACL(path, null));
    }
    zk.addAuthInfo("digest", bytes("bob:pw"));
    out.call("two identities", zk::whoAmI);
    out.call("auth of two", () -> zk.create("/acl/two", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
    out.call("as stored", () -> sorted(zk.getACL("/acl/two", null)));
    out.call("multi denied", () -> open.multi(List.of(Op.create("/acl/ok", null, OPEN, CreateMode.PERSISTENT), Op.setData("/acl/two", null, -1))));
    out.call("check denied", () -> open.multi(List.of(Op.check("/acl/two", 0))));
    out.call("multi read denied", () -> open.multi(List.of(Op.getData("/acl/two"), Op.getChildren("/acl/two"), Op.getData("/acl"))));

    try (ZooKeeper root = ApiSuite.connect(server, out, "super", new Events("super"))) {
      root.addAuthInfo("digest", bytes("super:golden"));
      out.call("super is", root::whoAmI);
      out.call("super reads", () -> root.getData("/acl/two", false, null));
      out.call("super reads acl", () -> sorted(root.getACL("/acl/two", null)));
      out.call("super sets acl", () -> root.setACL("/acl/two", OPEN, -1));
      out.run("super deletes", () -> root.delete("/acl/two", -1));
      out.call("super changes config's acl", () -> root.setACL("/zookeeper/config", Ids.READ_ACL_UNSAFE, -1));
    }
    for (String[] bad : new String[][] {{"none", "x"}, {"digest", ""}, {"ip", "x"}, {"sasl", "x"}}) {
      Events told = new Events("bad auth");
      try (ZooKeeper failing = ApiSuite.connect(server, out, "bad-" + bad[0], told)) {
        failing.addAuthInfo(bad[0], bytes(bad[1]));
        out.call("after auth " + bad[0] + " '" + bad[1] + "'", () -> failing.exists("/acl", false) != null);
        out.line("state " + failing.getState());
      }
    }
    zk.close();
  }

  /** The entries that stand for a creator's identities come in the order of a hash table. */
  private static List<ACL> sorted(List<ACL> acl) {
    return acl.stream().sorted(java.util.Comparator.comparing(entry -> entry.getId().getId())).toList();
  }

  /** What somebody without credentials may do with a node. */
  private static void denied(ZooKeeper zk, Transcript out, String path) {
    out.call("get " + path, () -> zk.getData(path, false, null));
    out.call("exists " + path, () -> zk.exists(path, false) != null);
    out.call("children " + path, () -> zk.getChildren(path, false));
    out.call("count " + path, () -> zk.getAllChildrenNumber(path));
    out.call("acl " + path, () -> zk.getACL(path, null));
    out.call("set " + path, () -> zk.setData(path, bytes("x"), -1) != null);
    out.call("create below " + path, () -> zk.create(path + "/c", null, OPEN, CreateMode.PERSISTENT));
    out.run("delete below " + path, () -> zk.delete(path + "/c", -1));
    out.call("set acl " + path, () -> zk.setACL(path, zk.getACL(path, null), -1) != null);
  }
}

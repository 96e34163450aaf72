//! Keys that `zoo.cfg` alone knows. Upstream: `QuorumPeerConfig.parseProperties`.

use super::Kind::{Bool, Choice, Int, List, Path, Special, Text};
use super::State::{Ensemble, Ignored, Later, Works};
use super::Unit::{Hours, Ms, Plain, Port, Ticks};
use super::{INT_MAX, INT_MIN, Key, Place, Section};

pub(super) static SECTIONS: &[Section] = &[
    Section {
        title: "Basics",
        keys: keys! {
            "dataDir" ZooCfg Path, "", Works;
                "directory of the snapshots and of `myid`; required in a file"
            "dataLogDir" ZooCfg Path, "", Works;
                "directory of the transaction logs; `dataDir` unless set. A disk of its own makes writes faster"
            "clientPort" ZooCfg Int(0, 65535, Port), "", Works;
                "port for clients; 0 lets the system choose. May come from the server's own `server.N` line instead"
            "clientPortAddress" ZooCfg Text, "0.0.0.0", Works;
                "address or host name on which clients are accepted; needs `clientPort`"
            "clientPortListenBacklog" ZooCfg Int(INT_MIN, INT_MAX, Plain), "-1", Works;
                "length of the queue of connections not yet accepted; below 1 the server's own choice"
            "tickTime" ZooCfg Int(1, INT_MAX, Ms), "3000", Works;
                "unit of session timeouts; 2000 when the server starts without a file"
            "minSessionTimeout" ZooCfg Int(-1, INT_MAX, Ms), "-1", Works;
                "shortest session timeout a client gets; -1 is two ticks"
            "maxSessionTimeout" ZooCfg Int(-1, INT_MAX, Ms), "-1", Works;
                "longest session timeout a client gets; -1 is twenty ticks"
            "maxClientCnxns" ZooCfg Int(INT_MIN, INT_MAX, Plain), "60", Works;
                "connections from one client address; 0 or less is no limit"
            "autopurge.snapRetainCount" ZooCfg Int(INT_MIN, INT_MAX, Plain), "3", Works;
                "snapshots that purging leaves, with the logs they need; less than 3 counts as 3"
            "autopurge.purgeInterval" ZooCfg Int(INT_MIN, INT_MAX, Hours), "0", Works;
                "time between two purges; 0 or less switches purging off"
            "reconfigEnabled" ZooCfg Bool, "false", Works;
                "whether the members may be changed by reconfig; a standalone server has nothing to reconfigure and says so"
        },
    },
    Section {
        title: "Ensembles",
        keys: keys! {
            "server.*" ZooCfg Special, "", Ensemble;
                "a member: `host:quorumPort:electionPort[:role][;[clientHost:]clientPort]`"
            "group.*" ZooCfg Special, "", Ensemble;
                "a group of members for hierarchical quorums: ids separated by `:`"
            "weight.*" ZooCfg Special, "", Ensemble;
                "weight of a member in its group"
            "dynamicConfigFile" ZooCfg Path, "", Ensemble;
                "file with the member lines, which then must not be in the main file"
            "standaloneEnabled" ZooCfg Bool, "true", Ensemble;
                "whether a single `server.N` line makes a standalone server rather than an ensemble of one"
            "initLimit" ZooCfg Int(INT_MIN, INT_MAX, Ticks), "0", Ensemble;
                "time a follower has to connect and catch up; required in an ensemble"
            "syncLimit" ZooCfg Int(INT_MIN, INT_MAX, Ticks), "0", Ensemble;
                "time a follower may lag behind; required in an ensemble"
            "connectToLearnerMasterLimit" ZooCfg Int(INT_MIN, INT_MAX, Ticks), "0", Ensemble;
                "time to connect to the leader; 0 is `initLimit`"
            "electionAlg" ZooCfg Int(3, 3, Plain), "3", Ensemble;
                "election algorithm; only 3 exists any more"
            "peerType" ZooCfg Choice(&["participant", "observer"]), "participant", Ensemble;
                "role of this server; the server list overrides it"
            "quorumListenOnAllIPs" ZooCfg Bool, "false", Ensemble;
                "accept peers on all addresses of the machine"
            "syncEnabled" ZooCfg Bool, "true", Ensemble;
                "whether observers keep logs and snapshots; the property `zookeeper.observer.syncEnabled` overrides it"
            "localSessionsEnabled" ZooCfg Bool, "false", Ensemble;
                "new sessions are known only to the server that serves them: they cost no transaction and cannot move"
            "localSessionsUpgradingEnabled" ZooCfg Bool, "false", Ensemble;
                "turn a local session into a global one when it needs an ephemeral node"
            "observerMasterPort" ZooCfg Int(INT_MIN, 65535, Port), "0", Ensemble;
                "port on which followers serve observers; 0 or less is off"
            "oraclePath" ZooCfg Path, "", Later(&[""]);
                "file of the oracle for an ensemble of two"
            "multiAddress.enabled" Both Bool, "false", Ensemble;
                "several addresses per member. Lists in `server.N` also need `-Dzookeeper.multiAddress.enabled=true`, as upstream"
            "multiAddress.reachabilityCheckEnabled" Both Bool, "true", Later(&["true"]);
                "look which of a member's addresses answers"
            "multiAddress.reachabilityCheckTimeoutMs" Both Int(0, INT_MAX, Ms), "1000", Later(&["1000"]);
                "how long that look may take"
            "quorum.cnxn.threads.size" ZooCfg Int(INT_MIN, INT_MAX, Plain), "20", Ignored;
                "threads that authenticate peers"
            "sslQuorum" ZooCfg Bool, "false", Later(&["false"]);
                "TLS between servers"
            "portUnification" ZooCfg Bool, "false", Later(&["false"]);
                "accept peers with and without TLS on one port"
            "sslQuorumReloadCertFiles" ZooCfg Bool, "false", Later(&["false"]);
                "read the servers' certificates again when their files change"
            "quorum.auth.enableSasl" ZooCfg Bool, "false", Later(&["false"]);
                "SASL between servers"
            "quorum.auth.learnerRequireSasl" ZooCfg Bool, "false", Later(&["false"]);
                "a learner talks to an authenticated leader only; needs `quorum.auth.enableSasl`"
            "quorum.auth.serverRequireSasl" ZooCfg Bool, "false", Later(&["false"]);
                "a leader accepts authenticated learners only; needs both others"
            "quorum.auth.learner.saslLoginContext" ZooCfg Text, "QuorumLearner", Later(&["QuorumLearner"]);
                "section of the login file for a learner"
            "quorum.auth.server.saslLoginContext" ZooCfg Text, "QuorumServer", Later(&["QuorumServer"]);
                "section of the login file for a leader"
            "quorum.auth.kerberos.servicePrincipal" ZooCfg Text, "zkquorum/localhost", Later(&["zkquorum/localhost"]);
                "Kerberos name of the servers"
        },
    },
    Section {
        title: "TLS port, metrics export, JVM",
        keys: keys! {
            "secureClientPort" ZooCfg Int(0, 65535, Port), "", Later(&[]);
                "port for clients with TLS"
            "secureClientPortAddress" ZooCfg Text, "", Later(&[]);
                "address of that port; needs `secureClientPort`"
            "metricsProvider.className" ZooCfg Text, "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider",
                Later(&[
                    "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider",
                    "org.apache.zookeeper.metrics.impl.NullMetricsProvider",
                ]);
                "how metrics are exported; here the word `mntr` shows them, whatever this says"
            "metricsProvider.*" ZooCfg Text, "", Ignored;
                "settings of the metrics provider (httpHost, httpPort, exportJvmInfo, …)"
            "jvm.pause.monitor" ZooCfg Bool, "false", Ignored;
                "watch for pauses of the Java garbage collector"
            "jvm.pause.*" ZooCfg List, "", Ignored;
                "thresholds of that watch"
        },
    },
];

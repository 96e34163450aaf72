//! Keys that are properties: `-Dzookeeper.<name>`, or the name in `zoo.cfg`; at the end those that exist as
//! `-D` only. Upstream: `System.getProperty`, `Integer.getInteger` and their like all over the server.

use super::Kind::{Choice, Float, Lenient, List, Number, Only, Path, Text, Unless};
use super::State::{Ensemble, Ignored, Later, Works};
use super::Unit::{Bytes, KiB, Ms, Plain};
use super::{INT_MAX, INT_MIN, Key, Place, Section};

/// Any Java `int`.
const fn int(unit: super::Unit) -> super::Kind {
    Number(INT_MIN, INT_MAX, unit)
}

/// A Java `int` that must be at least this.
const fn from(min: i64, unit: super::Unit) -> super::Kind {
    Number(min, INT_MAX, unit)
}

/// Any Java `long`.
const fn long(unit: super::Unit) -> super::Kind {
    Number(i64::MIN, i64::MAX, unit)
}

/// A feature that is not there yet and does not matter while it is switched off.
const OFF: super::State = Later(&["false"]);
const ANY: super::State = Later(&[]);

pub(super) static SECTIONS: &[Section] = &[
    Section {
        title: "Storage",
        keys: keys! {
            "snapCount" Both int(Plain), "100000", Works;
                "transactions between two snapshots at most (at random between half of it and all); less than 2 counts as 2"
            "snapSizeLimitInKb" Both long(KiB), "4194304", Works;
                "size of the log since the last snapshot that causes the next; 0 or less is no limit"
            "txnLogSizeLimitInKb" Both long(KiB), "-1", Works;
                "size at which another log file is begun; 0 or less is no limit"
            "preAllocSize" Both long(KiB), "65536", Works;
                "step in which log files grow; 0 or less switches it off"
            "forceSync" Both Unless("no"), "yes", Works;
                "`no` answers writes before the disk has them: a crash of the machine then loses acknowledged writes"
            "fsync.warningthresholdms" BothAndBare long(Ms), "1000", Works;
                "a slower force of the log is logged"
            "flushDelay" Both long(Ms), "0", Works;
                "how long the log may wait for more writes before it forces; 0 or less is not at all"
            "maxBatchSize" Both int(Plain), "1000", Works;
                "writes in one force of the log at most; 0 or less is no limit"
            "maxWriteQueuePollTime" Both long(Ms), "0", Ignored;
                "how long the Java server sleeps within `flushDelay`"
            "snapshot.compression.method" Both Choice(&["", "gz", "snappy"]), "", Works;
                "how snapshots are compressed; any is read"
            "snapshot.trust.empty" Both Lenient, "false", Works;
                "accept logs without a snapshot, as version 3.4 leaves them"
            "datadir.autocreate" Both Lenient, "true", Works;
                "create missing directories at start"
            "db.autocreate" Both Lenient, "true", Works;
                "start with an empty tree when the directory holds none"
            "digest.enabled" Both Lenient, "true", Works;
                "keep a digest of the tree, write it with every transaction and check it"
            "closeSessionTxn.enabled" Both Lenient, "true", Works;
                "write which nodes a closed session takes along"
            "serializeLastProcessedZxid.enabled" Both Lenient, "true", Works;
                "write the last zxid at the end of snapshots"
            "commitLogCount" Both int(Plain), "500", Ensemble;
                "committed transactions kept in memory for followers; less than 500 counts as 500"
            "snapshotSizeFactor" Both Float(f64::MIN, f64::MAX), "0.33", Ensemble;
                "bring a follower up to date from log files while these are smaller than this share of the snapshot; negative is never"
        },
    },
    Section {
        title: "Requests",
        keys: keys! {
            "globalOutstandingLimit" Both int(Plain), "1000", Works;
                "requests under way in all beyond which connections that wait for answers are read no more"
            "largeRequestMaxBytes" Both from(1, Bytes), "104857600", Works;
                "sum of the sizes of large requests under way; a request beyond it closes its connection"
            "largeRequestThreshold" Both int(Bytes), "-1", Works;
                "size from which a request is large; 0 or less switches the limit off"
            "request_throttle_max_requests" Both int(Plain), "0", Works;
                "requests under way beyond which others wait; 0 or less is no limit"
            "request_throttle_stall_time" Both from(1, Ms), "100", Works;
                "how long a waiting request waits before it looks again"
            "request_throttle_drop_stale" Both Lenient, "true", Works;
                "drop waiting requests that became stale, and their connection"
            "request_stale_connection_check" Both Lenient, "true", Works;
                "a request whose connection is closed is stale"
            "request_stale_latency_check" Both Lenient, "false", Works;
                "a request older than its session's timeout is stale"
            "request_throttler.shutdownTimeout" Both from(0, Ms), "10000", Works;
                "how long a stopping server waits for requests under way"
            "throttled_op_wait_time" Both int(Ms), "0", Works;
                "a request that waited longer is answered with error -127 instead; 0 or less is off"
            "maxResponseCacheSize" Both int(Plain), "400", Works;
                "getData answers kept in encoded form; 0 or less is none"
            "maxGetChildrenResponseCacheSize" Both int(Plain), "400", Works;
                "getChildren answers kept in encoded form; 0 or less is none"
            "jute.maxbuffer.extrasize" Both int(Bytes), "", Works;
                "added to `jute.maxbuffer` for texts and buffers inside records; `jute.maxbuffer` unless set, at least 1024"
            "enforceQuota" Both Lenient, "false", Works;
                "reject what exceeds a hard quota; otherwise quotas are only logged"
            "extendedTypesEnabled" Both Lenient, "false", Works;
                "allow nodes with a time to live"
            "emulate353TTLNodes" Both Lenient, "false", Works;
                "read such nodes as version 3.5.3 wrote them"
            "intBufferStartingSizeBytes" Both int(Bytes), "1024", Ignored;
                "first size of an encoding buffer"
            "commitProcessor.*" Both Text, "", Ignored;
                "threads and batches of the Java server's commit stage (numWorkerThreads, maxReadBatchSize, …)"
        },
    },
    Section {
        title: "Connections",
        keys: keys! {
            "maxCnxns" Both int(Plain), "0", Works;
                "connections in all; 0 or less is no limit"
            "nio.sessionlessCnxnTimeout" Both from(1, Ms), "10000", Works;
                "a connection without a session is closed after this"
            "nio.numWorkerThreads" Both from(0, Plain), "", Works;
                "threads that serve connections; unset the server chooses by the number of cores"
            "clientTcpKeepAlive" Both Lenient, "false", Works;
                "TCP keep-alive on clients' connections"
            "connection_throttle_tokens" Both int(Plain), "0", Works;
                "connections that may come at once; 0 or less switches the throttle off"
            "connection_throttle_fill_time" Both from(0, Ms), "1", Works;
                "time between two refills of these tokens"
            "connection_throttle_fill_count" Both from(0, Plain), "1", Works;
                "tokens per refill"
            "connection_throttle_freeze_time" Both int(Ms), "-1", Works;
                "time between two changes of the probability of random drops; -1 switches random drops off"
            "connection_throttle_drop_increase" Both Float(0.0, 1.0), "0.02", Works;
                "added to that probability when the tokens are used up"
            "connection_throttle_drop_decrease" Both Float(0.0, 1.0), "0.002", Works;
                "taken from it when enough tokens are left"
            "connection_throttle_decrease_ratio" Both Float(0.0, 1.0), "0", Works;
                "share of the tokens that is enough"
            "connection_throttle_weight_enabled" Both Lenient, "false", Works;
                "let connections cost tokens by what they ask for"
            "connection_throttle_global_session_weight" Both int(Plain), "3", Works;
                "tokens of a new session; less than 1 counts as 3"
            "connection_throttle_local_session_weight" Both int(Plain), "1", Works;
                "tokens of a new local session; less than 1 counts as 1"
            "connection_throttle_renew_session_weight" Both int(Plain), "2", Works;
                "tokens of a reconnect; less than 1 counts as 2"
            "serverCnxnFactory" Both Text, "org.apache.zookeeper.server.NIOServerCnxnFactory", Ignored;
                "class of the Java server's network layer"
            "nio.numSelectorThreads" Both Text, "", Ignored;
                "threads that wait for the network"
            "nio.directBufferBytes" Both Text, "65536", Ignored;
                "buffers outside the Java heap"
            "nio.shutdownTimeout" Both Text, "5000", Ignored;
                "how long the Java server waits for its network threads"
            "netty.*" Both Text, "", Ignored;
                "settings of the Netty network layer"
            "client.portUnification" Both Lenient, "false", OFF;
                "accept clients with and without TLS on one port"
            "client.certReload" Both Lenient, "false", OFF;
                "read the clients' certificates again when their files change"
            "watchManagerName" Both Text, "org.apache.zookeeper.server.watch.WatchManager", Ignored;
                "class of the Java server's watch table"
            "watcherCleanThreshold" Both Text, "1000", Ignored;
                "batch of the optimised watch table"
            "watcherCleanIntervalInSeconds" Both Text, "600", Ignored;
                "interval of the optimised watch table"
            "watcherCleanThreadsNum" Both Text, "2", Ignored;
                "threads of the optimised watch table"
            "maxInProcessingDeadWatchers" Both Text, "-1", Ignored;
                "backlog of the optimised watch table"
            "bitHashCacheSize" Both Text, "10", Ignored;
                "cache of the optimised watch table"
        },
    },
    Section {
        title: "Authentication and authorisation",
        keys: keys! {
            "skipACL" Both Only("yes"), "no", Works;
                "`yes` checks no ACL at all"
            "enableEagerACLCheck" Both Lenient, "false", Works;
                "check ACLs of writes before they are queued"
            "DigestAuthenticationProvider.enabled" Both Lenient, "true", Works;
                "the scheme `digest`"
            "DigestAuthenticationProvider.superDigest" Both Text, "", Works;
                "`user:base64(hash(user:password))` of the super user"
            "DigestAuthenticationProvider.digestAlg" Both
                Choice(&["MD5", "SHA1", "SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512"]), "SHA1", Works;
                "hash of the scheme `digest`"
            "enforce.auth.enabled" Both Lenient, "false", Works;
                "a client must authenticate before anything else"
            "enforce.auth.schemes" Both List, "", Works;
                "schemes that count for that; required with it"
            "sessionRequireClientSASLAuth" Both Lenient, "false", Works;
                "short for enforced authentication with the scheme `sasl`"
            "allowSaslFailedClients" Both Lenient, "false", Works;
                "a client whose SASL exchange failed may stay, unauthenticated"
            "authProvider.*" Both Text, "", Later(&[
                "org.apache.zookeeper.server.auth.DigestAuthenticationProvider",
                "org.apache.zookeeper.server.auth.IPAuthenticationProvider",
                "org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider",
            ]);
                "class of a further scheme"
            "superUser" Both Text, "", ANY;
                "SASL id of a super user"
            "superUser.*" Both Text, "", ANY;
                "SASL ids of further super users"
            "SASLAuthenticationProvider.superPassword" Both Text, "", ANY;
                "password of the SASL user `super`"
            "letAnySaslUserDoX" Both Text, "", ANY;
                "SASL id in an ACL that stands for every SASL user"
            "X509AuthenticationProvider.superUser" Both Text, "", ANY;
                "subject of the super user's certificate"
            "IPAuthenticationProvider.usexforwardedfor" Both Lenient, "false", OFF;
                "believe the header X-Forwarded-For in the AdminServer"
            "ensembleAuthName" Both List, "", Works;
                "names that a client may call the ensemble; needs `authProvider.N` with `EnsembleAuthenticationProvider`"
            "requireClientAuthScheme" Both Text, "", ANY;
                "scheme that older versions demanded; see `enforce.auth.schemes`"
            "jaasLoginRenew" Both Text, "", Ignored;
                "renewal of Kerberos tickets, unread by current versions"
            "sasl.serverconfig" Both Text, "Server", ANY;
                "section of the login file for clients"
            "kerberos.*" Both Text, "", Later(&["false"]);
                "short names of Kerberos ids (removeHostFromPrincipal, removeRealmFromPrincipal, canonicalizeHostNames)"
            "security.auth_to_local" Both Text, "DEFAULT", Later(&["DEFAULT"]);
                "rules for short names of Kerberos ids"
            "requireKerberosConfig" Both Lenient, "false", OFF;
                "refuse to start without a Kerberos configuration"
        },
    },
    Section {
        title: "TLS",
        keys: keys! {
            "ssl.quorum.*" Both Text, "", Later(&[""]);
                "keys, certificates and protocols between servers; the names below `ssl.`"
            "ssl.*" Both Text, "", ANY;
                "keys, certificates and protocols for clients: keyStore.*, trustStore.*, protocol, enabledProtocols, ciphersuites, clientAuth, hostnameVerification, crl, ocsp, …"
            "fips-mode" Both Lenient, "true", Ignored;
                "use the host name check of the Java platform"
        },
    },
    Section {
        title: "Peers and learners",
        keys: keys! {
            "cnxTimeout" Both from(0, Ms), "5000", Ensemble;
                "time to connect to a peer for election"
            "quorumCnxnTimeoutMs" Both int(Ms), "-1", Ensemble;
                "time for the first words of a peer; -1 is `syncLimit`"
            "electionPortBindRetry" Both int(Plain), "3", Ensemble;
                "attempts to listen on the election port; 0 is forever"
            "fastleader.minNotificationInterval" Both from(0, Ms), "200", Ensemble;
                "first pause between two votes"
            "fastleader.maxNotificationInterval" Both from(0, Ms), "60000", Ensemble;
                "longest pause between two votes"
            "leader.maxTimeToWaitForEpoch" Both int(Ms), "-1", Ensemble;
                "a new leader that has waited longer for a quorum gives up when one of its voters looks again; -1 is off"
            "leader.maxConcurrentSnapSyncs" Both int(Plain), "10", Ensemble;
                "learners that receive a snapshot at the same time"
            "leader.maxConcurrentDiffSyncs" Both int(Plain), "100", Ensemble;
                "learners that receive transactions at the same time"
            "leader.ackLoggingFrequency" Both int(Plain), "1000", Ignored;
                "every how many acknowledgements the latency is sampled"
            "leader.closeSocketAsync" BothAndBare Lenient, "false", Ignored;
                "a leader closes connections in the background"
            "learner.closeSocketAsync" BothAndBare Lenient, "false", Ignored;
                "a learner closes its connection in the background"
            "learner.asyncSending" BothAndBare Lenient, "false", Ignored;
                "a learner sends in the background"
            "leaderConnectDelayDuringRetryMs" Both from(0, Ms), "100", Ensemble;
                "pause between two attempts to reach the leader"
            "leaderServes" Both Unless("no"), "yes", Ensemble;
                "whether a leader accepts clients"
            "forward_learner_requests_to_commit_processor_disabled" Both Lenient, "false", Ignored;
                "shorten the way of learners' requests in the leader"
            "follower.skipLearnerRequestToNextProcessor" Both Lenient, "false", Ignored;
                "shorten the way of learners' requests in a follower"
            "observer.syncEnabled" Both Lenient, "", Ensemble;
                "overrides `syncEnabled`"
            "observer.reconnectDelayMs" Both from(0, Ms), "0", Ensemble;
                "pause of an observer before it looks for a leader again"
            "observer.election.DelayMs" Both from(0, Ms), "200", Ensemble;
                "pause of an observer between two looks for a leader"
            "observerMaster.sizeLimit" Both int(Bytes), "33554432", Ensemble;
                "transactions a follower keeps for its observers"
            "tcpKeepAlive" Both Lenient, "false", Ensemble;
                "TCP keep-alive on election connections"
            "testingonly.initialZxid" Both Number(0, 0xffff_fffe, Plain), "0", Ensemble;
                "counter of transactions with which each epoch begins; for tests"
            "forceSnapshotSync" Both Lenient, "false", Ensemble;
                "bring learners up to date by snapshots only; for tests"
            "messageTracker.BufferSize" Both int(Plain), "10", Ignored;
                "messages kept per learner for inspection"
            "messageTracker.Enabled" Both Lenient, "false", Later(&["false"]);
                "keep messages per learner for inspection"
        },
    },
    Section {
        title: "Observation",
        keys: keys! {
            "4lw.commands.whitelist" Both List, "", Works;
                "four-letter words that are answered, or `*` for all; `srvr` always is"
            "admin.enableServer" Both Unless("false"), "true", Later(&["false"]);
                "the AdminServer (HTTP, port 8080)"
            "admin.*" Both Text, "", ANY;
                "settings of the AdminServer (serverAddress, serverPort, commandURL, …)"
            "audit.enable" Both Lenient, "false", OFF;
                "log who changed what"
            "audit.impl.class" Both Text, "", Ignored;
                "class that writes the audit log"
            "pathStats.enabled" Both Lenient, "false", OFF;
                "count requests per path"
            "pathStats.*" Both Text, "", Ignored;
                "slots, depth and sampling of these counts"
            "jmx.*" Both Text, "", Ignored;
                "Java management beans"
            "log.*" Both Text, "", Ignored;
                "where start scripts let the Java server log"
            "root.logger" Both Text, "", Ignored;
                "what start scripts let the Java server log"
            "console.threshold" Both Text, "", Ignored;
                "how much start scripts let the Java server log"
        },
    },
    Section {
        title: "Properties without the prefix `zookeeper.`, by `-D` only",
        keys: keys! {
            "jute.maxbuffer" Bare from(1, Bytes), "1048575", Works;
                "longest packet; clients have the same setting"
            "readonlymode.enabled" Bare Lenient, "false", Works;
                "serve clients that accept it with reads while there is no quorum; their sessions need `localSessionsEnabled`. A standalone server only answers the word `isro` for it"
            "znode.container.checkIntervalMs" Bare from(1, Ms), "60000", Works;
                "time between two looks for containers and expired nodes"
            "znode.container.maxPerMinute" Bare from(1, Plain), "10000", Works;
                "nodes deleted per minute at most"
            "znode.container.maxNeverUsedIntervalMs" Bare long(Ms), "0", Works;
                "a container that never had a child is deleted after this; 0 or less is never"
            "leader.nodelay" Bare Only("true"), "true", Later(&["true"]);
                "TCP_NODELAY of a leader"
            "follower.nodelay" Bare Only("true"), "true", Later(&["true"]);
                "TCP_NODELAY of a follower"
            "java.security.auth.login.config" Bare Path, "", ANY;
                "the login file (JAAS)"
            "jdk.tls.rejectClientInitiatedRenegotiation" Bare Text, "", Ignored;
                "a switch of the Java platform"
        },
    },
];

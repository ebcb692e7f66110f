//! Every `PgBouncer` there is, each before a real server.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use poolwatch::demo::{ChildProcess, Cluster};
use poolwatch::sources::pgbouncer::{Pgbouncer, Settings};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor};

/// The machine's own and a newer one. Without a network there may be only the machine's own;
/// tools/pgbouncer says so.
pub(crate) fn programs() -> &'static [PathBuf] {
    static PROGRAMS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/pgbouncer"));
        let listed = script.arg("list").stderr(Stdio::inherit()).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let programs: Vec<_> = listed.lines().map(PathBuf::from).collect();
        assert!(!programs.is_empty(), "there is no PgBouncer: apt-get install pgbouncer");
        programs
    })
}

/// A `PgBouncer` on a Unix socket in a folder of its own.
pub(crate) struct Bouncer {
    pub(crate) folder: PathBuf,
    program: &'static Path,
    process: Option<ChildProcess>,
    pub(crate) cluster: Rc<Cluster>,
}

impl Bouncer {
    /// One of each version, one after the other, before the same server.
    pub(crate) fn of_each(settings: &str) -> impl Iterator<Item = Self> {
        let cluster = server();
        programs().iter().map(move |program| Self::start(program, &cluster, settings))
    }

    /// The machine's own.
    pub(crate) fn of_one(settings: &str) -> Self {
        Self::start(&programs()[0], &server(), settings)
    }

    /// Databases `app`, of 2 servers a user, `other`, of 3 and a reserve of 1, `shared`, of 2 over
    /// all users, and `broken`, whose server is not there.
    fn start(program: &'static Path, cluster: &Rc<Cluster>, settings: &str) -> Self {
        let server = cluster.folder().display();
        let owner = fs::metadata(cluster.folder()).unwrap();
        let path = (0..).map(|number| cluster.folder().join(format!("bouncer{number}")));
        let path = path.into_iter().find(|path| !path.exists()).unwrap();
        fs::create_dir(&path).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        let folder = path.display();
        let users = "\"one\" \"\"\n\"two\" \"\"\n\"stats\" \"s3cret\"\n\"admin\" \"\"\n";
        fs::write(format!("{folder}/users.txt"), users).unwrap();
        let ini = format!(
            "[databases]\n\
             app = host={server} dbname=postgres pool_size=2\n\
             other = host={server} dbname=postgres pool_size=3 reserve_pool=1\n\
             shared = host={server} dbname=postgres pool_size=5 max_db_connections=2\n\
             broken = host={server} port=1 dbname=postgres\n\
             [pgbouncer]\n\
             listen_port = 6432\nlisten_addr =\nunix_socket_dir = {folder}\n\
             auth_type = trust\nauth_file = {folder}/users.txt\n\
             stats_users = stats\nadmin_users = admin\nreserve_pool_timeout = 60\n\
             pidfile = {folder}/pgbouncer.pid\n{settings}\n"
        );
        fs::write(path.join("pgbouncer.ini"), ini).unwrap();
        let cluster = Rc::clone(cluster);
        let mut bouncer = Self { folder: path.clone(), program, process: None, cluster };
        bouncer.run();
        bouncer
    }

    pub(crate) fn run(&mut self) {
        let owner = fs::metadata(self.cluster.folder()).unwrap();
        let log = fs::File::create(self.folder.join("pgbouncer.log")).unwrap();
        let mut command = Command::new(self.program);
        command.arg(self.folder.join("pgbouncer.ini"));
        command.stdout(Stdio::null()).stderr(log).uid(owner.uid()).gid(owner.gid());
        self.process = Some(ChildProcess::start(&mut command).unwrap());
        let socket = self.folder.join(".s.PGSQL.6432");
        wait_for("PgBouncer's socket", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    }

    /// Its minor version: 26 for 1.26.1.
    pub(crate) fn minor(&self) -> u32 {
        let output = Command::new(self.program).arg("--version").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        said.strip_prefix("PgBouncer 1.").unwrap().split('.').next().unwrap().parse().unwrap()
    }

    pub(crate) fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        process.signal("KILL").unwrap();
        process.wait().unwrap();
    }

    pub(crate) fn signal(&mut self, name: &str) {
        self.process.as_mut().unwrap().signal(name).unwrap();
    }

    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        let folder = self.folder.display();
        format!("postgresql:///{database}?host={folder}&port=6432&user={user}")
    }

    pub(crate) fn open(&self, user: &str) -> Pgbouncer {
        Self::open_with(&json!({ "url": self.url(user, "pgbouncer"), "timeout": "20s" }))
    }

    pub(crate) fn open_with(settings: &serde_json::Value) -> Pgbouncer {
        serde_json::from_value::<Settings>(settings.clone()).unwrap().open("bouncer").unwrap()
    }

    /// A client as its application opens it.
    pub(crate) async fn client(&self, user: &str, database: &str) -> PgConnection {
        PgConnection::connect_with(&self.options(user, database)).await.unwrap()
    }

    pub(crate) fn options(&self, user: &str, database: &str) -> PgConnectOptions {
        let options: PgConnectOptions = self.url(user, database).parse().unwrap();
        options.extra_float_digits(None).application_name("shop")
    }

    /// A client that has a server until it is dropped: the pool mode is session.
    pub(crate) async fn holder(&self, user: &str, database: &str) -> PgConnection {
        let mut client = self.client(user, database).await;
        client.execute(sqlx::raw_sql("SELECT 1")).await.unwrap();
        client
    }

    pub(crate) async fn admin(&self, command: &'static str) {
        let mut console = self.client("admin", "pgbouncer").await;
        console.execute(sqlx::raw_sql(command)).await.unwrap();
    }
}

fn server() -> Rc<Cluster> {
    let cluster = Cluster::builder().start().unwrap();
    cluster
        .sql(
            "CREATE ROLE one LOGIN; CREATE ROLE two LOGIN;
                 GRANT pg_monitor TO one; CREATE SCHEMA one AUTHORIZATION one;
                 ALTER DATABASE postgres SET TimeZone = 'Asia/Kathmandu';
                 ALTER DATABASE postgres SET DateStyle = 'German, DMY'",
        )
        .unwrap();
    Rc::new(cluster)
}

impl Drop for Bouncer {
    /// SIGTERM lets it wait for its clients, since 1.23.
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.signal("KILL");
        }
    }
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(3);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

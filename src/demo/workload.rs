//! The built-in application: callers that share one pool, and a load that breathes.

use std::f64::consts::TAU;
use std::path::Path;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use poolwatch_client::{Checkout, PoolSettings, SharedPool};

/// The fewest callers that are more than nine tenths of the pool's 20 connections.
const CALLERS: u32 = 19;

/// The share of a breath at which the last caller comes, so that it, too, stays for a while.
const LAST_CALLER: f64 = 0.9;

/// The longest time for which a caller keeps its connection: the work between two queries.
const HOLD: Duration = Duration::from_secs(2);

/// The time after which an idle caller checks whether it is wanted.
const IDLE: Duration = Duration::from_millis(100);

/// The queries of the application for one client: each uses one of the nine indexes.
const QUERIES: [&str; 8] = [
    "SELECT p.title, r.content, r.score FROM matched_posts p JOIN ai_responses r ON r.post_id = p.id
     WHERE p.client_id = $1 ORDER BY p.created_at DESC LIMIT 50",
    "SELECT count(*) FROM matched_posts WHERE client_id = $1 AND NOT reviewed",
    "SELECT title FROM matched_posts WHERE subreddit = 'postgresql' AND client_id <> $1
     ORDER BY created_at DESC LIMIT 20",
    "SELECT content FROM ai_responses WHERE post_id = $1 AND client_id = $1 % 50 + 1",
    "SELECT avg(score) FROM ai_responses WHERE client_id = $1 AND created_at > now() - interval '7 days'",
    "SELECT content, score FROM ai_responses WHERE client_id <> $1 ORDER BY score DESC LIMIT 10",
    "SELECT created_at::date, count(*) FROM analytics_events
     WHERE client_id = $1 AND created_at > now() - interval '7 days' GROUP BY 1 ORDER BY 1",
    "SELECT event_type, count(*) FROM analytics_events WHERE client_id = $1 GROUP BY 1",
];

const RECORD: &str =
    "INSERT INTO analytics_events (client_id, event_type) VALUES ($1, 'response_posted')";

/// A pool of 5 + 15 that fills from idle to above nine tenths and empties again, until dropped.
#[derive(Debug)]
pub(super) struct Workload {
    pool: SharedPool,
    /// Ended when dropped.
    _callers: JoinSet<()>,
}

/// A breath after the other.
#[derive(Debug, Clone, Copy)]
struct Breathing {
    began: Instant,
    breath: Duration,
}

impl Breathing {
    /// 0 at the start of a breath, 1 in its middle, 0 at its end.
    fn level(&self) -> f64 {
        let breaths = self.began.elapsed().as_secs_f64() / self.breath.as_secs_f64();
        (1.0 - libm::cos(TAU * breaths)) / 2.0
    }
}

impl Workload {
    /// Callers with a pool of their own on this database, which it reports to this socket, and so
    /// long a breath.
    pub(super) fn start(options: PgConnectOptions, socket: &Path, breath: Duration) -> Self {
        let options = options.application_name("reddit-bot");
        let pool = SharedPool::new("web", options, PoolSettings::default());
        pool.report_to(socket, "web");
        let breathing = Breathing { began: Instant::now(), breath };
        let mut callers = JoinSet::new();
        for number in 0..CALLERS {
            callers.spawn(call(pool.clone(), breathing, number));
        }
        callers.spawn(browse(pool.clone(), breathing));
        Self { pool, _callers: callers }
    }

    pub(super) fn pool(&self) -> &SharedPool {
        &self.pool
    }
}

/// Takes a connection again and again while the breath is above this caller's level.
async fn call(pool: SharedPool, breathing: Breathing, number: u32) {
    let level = LAST_CALLER * f64::from(number) / f64::from(CALLERS);
    let hold = HOLD.min(breathing.breath / 8);
    for turn in 0.. {
        if breathing.level() > level {
            // Not all at once: a hold lasts from half of the longest to the longest.
            let hold = hold.mul_f64(0.5 + f64::from((number * 7 + turn) % 10) / 20.0);
            work(&pool, number + turn, hold).await;
        } else {
            sleep(IDLE).await;
        }
    }
}

/// Quick pages, some while the pool is idle and more while it is busy.
async fn browse(pool: SharedPool, breathing: Breathing) {
    for turn in 0.. {
        work(&pool, turn, Duration::ZERO).await;
        sleep(Duration::from_millis(500).mul_f64(1.0 - 0.9 * breathing.level())).await;
    }
}

/// One request. What fails is counted by the pool; the caller comes again a little later.
async fn work(pool: &SharedPool, turn: u32, hold: Duration) {
    let Ok(mut checkout) = pool.acquire().await else { return sleep(IDLE).await };
    if serve(&mut checkout, turn, hold).await.is_err() {
        sleep(IDLE).await;
    }
}

/// In a transaction from the first statement until the answer is sent, as `SQLAlchemy`'s sessions are.
async fn serve(checkout: &mut Checkout, turn: u32, hold: Duration) -> Result<(), sqlx::Error> {
    let client = i64::from(turn % 50 + 1);
    let query = QUERIES[turn as usize % QUERIES.len()];
    let mut transaction = checkout.begin().await?;
    sqlx::query(query).bind(client).fetch_all(&mut transaction).await?;
    if turn.is_multiple_of(4) {
        sqlx::query(RECORD).bind(client).execute(&mut transaction).await?;
    }
    sleep(hold).await;
    transaction.commit().await
}

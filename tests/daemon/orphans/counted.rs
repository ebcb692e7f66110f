//! Orphans of workers whose driver does not tell the processes of its connections.

use super::Stage;
use crate::support::eventually;

/// A worker that tells no process. Its child keeps the sockets open that it inherited, as long as the
/// server has its folder.
const COUNTED: &str = "
import os, sys, time
from poolwatch import backends
backends._pid_of = lambda connection: None
from sqlalchemy import create_engine
number, folder = int(sys.argv[2]), sys.argv[1].split('host=')[1].split('&')[0]
web = create_engine(sys.argv[1], pool_size=number)

def use():
    for connection in [web.connect() for _ in range(number)]:
        connection.close()

use()
if os.fork() == 0:
    while os.path.exists(folder):
        time.sleep(0.2)
    os._exit(0)
use()
print('open', flush=True)
time.sleep(3600)
";

#[test]
fn the_orphans_of_workers_that_tell_no_process_are_counted() {
    let stage = Stage::with_sampling("activity: 300ms");
    let url = format!(
        "postgresql+psycopg://postgres@/postgres?host={}&application_name=shop&plugin=poolwatch\
         &poolwatch_pool=web",
        stage.cluster.folder().display()
    );
    let open = || stage.daemon.value("db_pool_checked_in", &[("pool", "web")]);
    let mut killed = stage.application(COUNTED, &url, 3);
    eventually(|| open() == Some(3.0));
    stage.read_again(6);
    // The numbers must agree twice with connections opened between, and a report that comes late
    // makes them begin anew.
    let (mut others, mut agree) = (Vec::new(), false);
    for _ in 0..10 {
        others.push(stage.application(COUNTED, &url, 2));
        eventually(|| open() == Some(stage.on_server()));
        stage.read_again(6);
        let (workers, orphans, all) = stage.counts();
        agree = orphans == 0.0 && workers == all;
        if agree {
            break;
        }
    }
    assert!(agree, "(of workers, orphans, on the server): {:?}", stage.counts());
    let all = stage.on_server();
    killed.signal("KILL").unwrap();
    eventually(|| killed.ended().unwrap());
    stage.has((all - 3.0, 3.0, all));
    let among =
        format!("3 of the {all} of application shop (role postgres) from a local socket, by count");
    let listed = stage.follow_advice(3, &among);
    assert_eq!(listed.lines().count() as f64, all, "{listed}");
    // Numbers may agree by coincidence: also where all seem to have no worker none is ended.
    for mut other in others {
        other.signal("KILL").unwrap();
        eventually(|| other.ended().unwrap());
    }
    stage.has((0.0, all, all));
    let all_of = format!("{all} of the {all} of");
    let advice = eventually(|| {
        let advice = stage.advice()?;
        advice["message"].as_str()?.contains(&all_of).then_some(advice)
    });
    assert!(!advice.to_string().contains("pg_terminate_backend"), "{advice:#}");
}

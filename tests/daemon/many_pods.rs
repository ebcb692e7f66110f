//! Sidecars in many pods and the watchers of two servers, under a real Prometheus.

use std::process::Command;

const BENCH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/fleet");

#[test]
fn the_pools_of_all_pods_are_added_up_for_the_right_server() {
    let mut fleet = Command::new(BENCH);
    let output =
        fleet.args(["--truth", "4", "--poolwatch", env!("CARGO_BIN_EXE_poolwatch")]).output();
    let output = output.unwrap();
    let text = [output.stdout, output.stderr].map(|part| String::from_utf8(part).unwrap()).concat();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("the budget of first is exceeded, and not that of second"), "{text}");
}

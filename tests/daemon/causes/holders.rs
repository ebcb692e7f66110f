//! Each of several sessions that are idle in a transaction is named.

use super::{Ward, text};
use crate::support::{eventually, free_address};

/// The role and the application of each.
const HOLDERS: [(&str, &str); 3] = [("alice", "billing"), ("bob", "export"), ("carol", "mailer")];

#[test]
fn three_holders_of_an_idle_transaction_are_each_named() {
    let address = free_address().to_string();
    let settings = "sampling: {server: 1s}\nadvice: {idle_in_transaction: {longer_than: 2s}}";
    let ward = Ward::new(&[("listen_addresses", &address)], settings);
    // Reports that began before them, as many as are read of each kind.
    let report = "BEGIN; SELECT pg_sleep(3600);";
    let _reports: Vec<_> =
        (0..10).map(|number| ward.psql(&format!("report{number}"), report)).collect();
    let at_work = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
    eventually(|| ward.cluster.sql(at_work).unwrap() == "10");
    let hold = |(role, application): (&str, &str)| {
        ward.cluster.sql(&format!("CREATE ROLE {role} LOGIN SUPERUSER")).unwrap();
        let url = format!("host={address} user={role} dbname=postgres");
        let sql = "BEGIN; SELECT 'a secret' FROM orders WHERE id = 7;";
        ward.psql_at(&url, application, sql)
    };
    let _holders = HOLDERS.map(hold);
    let message = eventually(|| {
        let advice = ward.advice();
        let found = advice.iter().find(|one| one["rule"] == "idle_in_transaction")?;
        let message = text(found, "message").to_owned();
        HOLDERS.iter().all(|(role, _)| message.contains(role)).then_some(message)
    });
    for (role, application) in HOLDERS {
        let pid = format!("SELECT pid FROM pg_stat_activity WHERE usename = '{role}'");
        let pid = ward.cluster.sql(&pid).unwrap();
        let named = format!(
            "the session {pid} (role {role}, application {application}, from 127.0.0.1, database \
             postgres), idle for "
        );
        let after = message.split_once(&named).unwrap_or_else(|| panic!("{named} in {message}")).1;
        let (ages, after) = after.split_once(", after ").unwrap();
        assert!(ages.contains(" s of the ") && ages.ends_with("s of its transaction"), "{ages}");
        assert!(after.starts_with("`SELECT ? FROM orders WHERE id = ?"), "{after}");
    }
    assert!(!message.contains("secret"), "{message}");
}

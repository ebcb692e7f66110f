//! The statements that an application waits for as queries.

/// Statements that read or change rows, or run a procedure that does.
const TIMED: [&str; 12] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TABLE", "EXECUTE", "FETCH",
    "CALL", "DO",
];
/// Statements by which pools see whether a connection lives.
const PINGS: [&str; 4] = ["SELECT", "SELECT 1", "SELECT $1", "SELECT ''"];

/// Returns true if a statement counts as a query, by its normalised text. Transaction control
/// (BEGIN, COMMIT, SET…), maintenance, changes of the schema, COPY and pings do not.
pub fn is_timed(text: &str) -> bool {
    let rest = beginning(text);
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let word = &rest[..end];
    let timed = TIMED.iter().any(|one| one.eq_ignore_ascii_case(word));
    timed && !is_ping(rest)
}

fn is_ping(text: &str) -> bool {
    // Only a short text is taken apart.
    let words = || text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    text.len() < 40
        && PINGS.iter().any(|ping| ping.eq_ignore_ascii_case(words().trim_end_matches([';', ' '])))
}

/// The text without the comments and brackets it begins with.
fn beginning(text: &str) -> &str {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            after_comment(comment)
        } else {
            return rest;
        }
    }
}

/// The text after a comment, in which others may be.
fn after_comment(comment: &str) -> &str {
    let (mut depth, mut rest) = (1, comment);
    while depth > 0 {
        let Some(at) = rest.find(['/', '*']) else { return "" };
        rest = &rest[at..];
        let (step, length) = match rest.get(..2) {
            Some("/*") => (1, 2),
            Some("*/") => (-1, 2),
            _ => (0, 1),
        };
        depth += step;
        rest = &rest[length..];
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_or_changed_are_timed() {
        for text in [
            "SELECT * FROM t WHERE id = $1",
            "select pg_sleep($1)",
            "/* app:web /* in it */ */ -- more\n  insert into t values ($1)",
            "((SELECT $1) UNION (SELECT $2))",
            "WITH a AS (SELECT 1) DELETE FROM t",
            "CALL p($1)",
        ] {
            assert!(is_timed(text), "{text}");
        }
    }

    #[test]
    fn control_and_pings_are_not() {
        for text in [
            "BEGIN",
            "BEGIN ISOLATION LEVEL SERIALIZABLE",
            "commit",
            "ROLLBACK TO SAVEPOINT $1",
            "SET application_name = 'SELECT'",
            "RELEASE a",
            "DEALLOCATE ALL",
            "VACUUM t",
            "COPY t FROM STDIN",
            "CREATE INDEX ON t (a)",
            "SELECT $1",
            "select 1;",
            "SELECT",
            "/* ping */ SELECT  $1",
            "/* open",
            "-- all",
            "/",
            "",
            "(",
            "é",
        ] {
            assert!(!is_timed(text), "{text}");
        }
    }
}

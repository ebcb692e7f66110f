//! Workloads of many shapes, as pgbench runs them.

pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) clients: u32,
    /// Transactions a second; 0 is as many as there can be.
    pub(crate) rate: u32,
    /// Each with its weight.
    pub(crate) scripts: Vec<(String, u32)>,
}

/// One script that sleeps for `:t` microseconds, as the lines before say.
fn sleep(name: &'static str, lines: &str) -> Workload {
    Workload { name, clients: 8, rate: 0, scripts: vec![(sleeping(lines, 0), 1)] }
}

/// The more columns, the more another statement.
fn sleeping(lines: &str, columns: i32) -> String {
    format!(
        "{lines}\nSELECT pg_sleep(:t / 1000000.0){};\n",
        (0..columns).map(|_| ", 1").collect::<String>()
    )
}

/// Microseconds around a median, σ in natural logarithms.
fn log_normal(median: f64, sigma: f64) -> String {
    format!(
        "\\set g random_gaussian(0, 6000, 3.0)\n\
         \\set t exp((:g - 3000) / 1000.0 * {sigma}) * {median:.1}"
    )
}

pub(crate) fn all() -> Vec<Workload> {
    let two = |share: &str, slow: &str, fast: &str| {
        format!(
            "\\set s random(1, 1000)\n\\if :s <= {share}\n\\set t random({slow})\n\\else\n\\set t random({fast})\n\\endif"
        )
    };
    let ten = (0..10).map(|at| (sleeping(&log_normal(4000.0 * 1.4_f64.powi(at), 0.8), at), 1));
    let mix = (0..30).map(|at| {
        let (median, weight) = (1000.0 * 1.15_f64.powi(at), 60 / (1 + at.unsigned_abs()));
        (sleeping(&log_normal(median, 0.5 + 0.02 * f64::from(at)), at), weight.max(1))
    });
    let pareto = "\\set u random(1, 1000000)\n\
                  \\set n int(least(1000 * pow(:u / 1000000.0, -0.8), 4000000))\n\
                  SELECT count(*) FROM generate_series(1, :n);\n";
    let locks = "\\set id random(1, 3)\n\\set t random(1000, 20000)\nBEGIN;\n\
                 UPDATE hot SET n = n + 1 WHERE id = :id;\n\
                 SELECT pg_sleep(:t / 1000000.0);\nCOMMIT;\n";
    vec![
        sleep("two-humps", &two("50", "150000, 300000", "2000, 6000")),
        sleep("rarely-slow", &two("4", "1100000, 1400000", "2000, 9000")),
        Workload { name: "log-normal-10", clients: 8, rate: 0, scripts: ten.collect() },
        sleep("exponential", "\\set u random(1, 1000000)\n\\set t -ln(:u / 1000000.0) * 40000"),
        sleep("uniform", "\\set t random(10000, 190000)"),
        Workload { name: "orm-mix-30", clients: 8, rate: 0, scripts: mix.collect() },
        Workload { name: "pareto-cpu", clients: 2, rate: 40, scripts: vec![(pareto.into(), 1)] },
        Workload { name: "row-locks", clients: 12, rate: 0, scripts: vec![(locks.into(), 1)] },
        Workload {
            name: "pgbench-select",
            clients: 4,
            rate: 1000,
            scripts: vec![("builtin select-only".into(), 1)],
        },
        Workload {
            name: "pgbench-tpcb",
            clients: 4,
            rate: 200,
            scripts: vec![("builtin tpcb-like".into(), 1)],
        },
    ]
}

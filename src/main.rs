//! Command in, exit code out.

fn main() -> std::process::ExitCode {
    poolwatch::commands::main()
}

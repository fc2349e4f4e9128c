//! The binary `eim-server`.

fn main() -> std::process::ExitCode {
    eim_server::cli::run()
}

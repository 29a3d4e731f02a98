//! Several processes of the binary: under a launcher with MPI one network, without it a refusal.

use crate::taper::{command, ran};

#[cfg(not(feature = "mpi"))]
#[test]
fn a_binary_without_mpi_refuses_to_be_one_of_several() {
    for (variable, value, number) in [
        ("OMPI_COMM_WORLD_SIZE", "3", "started 3 of"),
        ("PMI_SIZE", "3", "started 3 of"),
        ("SLURM_STEP_NUM_TASKS", "3", "started 3 of"),
        ("PMIX_RANK", "0", "started an unknown number of"),
    ] {
        let mut several = command(&["finetune", "--out", "/nowhere/at/all"]);
        several.env(variable, value);
        ran(several).refuses(2, &[number, "--features mpi"]);
    }
}

#[test]
fn a_command_whose_work_is_not_shared_refuses_to_be_one_of_several() {
    for line in [
        "eval --model none --data none",
        "predict --model none none.jpg",
        "look --model none none.jpg --out /nowhere/at/all",
        "bench --model none",
        "cost --model none --csv /nowhere/at/all",
        "prune --model none --data none --target-macs 0.5 --out /nowhere/at/all",
        "explain conv --in-channels 3 --out-channels 4 --kernel 3 --input 8",
        "models",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let mut several = command(&args);
        several.env("OMPI_COMM_WORLD_SIZE", "2");
        let words = ["started 2 of this program", "only fine-tuning is shared out"];
        ran(several).refuses(2, &words).refuses(2, &["unset `OMPI_COMM_WORLD_SIZE`"]);
        let mut one = command(&args);
        one.env("OMPI_COMM_WORLD_SIZE", "1").env("PMIX_RANK", "0");
        assert!(!ran(one).stderr.contains("shared out"), "{line}");
    }
}

#[cfg(feature = "mpi")]
mod with_mpi {
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use crate::pictures;
    use crate::taper::{Ran, arg, ran, small_model, taper};

    fn launcher() -> String {
        std::env::var("MPIRUN").unwrap_or_else(|_| "mpirun".to_owned())
    }

    /// What the launcher says of itself.
    fn version() -> String {
        let version = Command::new(launcher()).arg("--version").output().unwrap();
        String::from_utf8_lossy(&version.stdout).into_owned()
    }

    fn is_mpich() -> bool {
        version().contains("HYDRA")
    }

    /// `mpirun` with programs of so many ranks each.
    fn mpirun(programs: &[(usize, Vec<String>)]) -> Command {
        let mut command = Command::new(launcher());
        if version().contains("Open MPI") {
            command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]);
        }
        for (i, (ranks, args)) in programs.iter().enumerate() {
            if i > 0 {
                command.arg(":");
            }
            command.args(["-np", &ranks.to_string(), env!("CARGO_BIN_EXE_taper")]).args(args);
        }
        command
    }

    /// A run of two epochs of six steps, in two shards.
    struct Job {
        dir: tempfile::TempDir,
        data: String,
        model: String,
    }

    impl Job {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let data = arg(&pictures::folder(dir.path(), 2, 16));
            let model = arg(&small_model(dir.path()));
            Self { dir, data, model }
        }

        fn args(&self, out: &str, more: &[&str]) -> Vec<String> {
            self.args_of(("2", "4"), out, more)
        }

        fn args_of(&self, (epochs, batch): (&str, &str), out: &str, more: &[&str]) -> Vec<String> {
            let out = arg(&self.dir.path().join(out));
            let args = ["finetune", "--data", &self.data, "--model", &self.model, "--out", &out];
            let args =
                [&args[..], &["--epochs", epochs, "--batch-size", batch, "--threads", "1"], more];
            args.concat().into_iter().map(str::to_owned).collect()
        }

        fn on_ranks(&self, ranks: usize, out: &str, more: &[&str]) -> Ran {
            ran(mpirun(&[(ranks, self.args(out, more))]))
        }

        fn files(&self, out: &str) -> [Vec<u8>; 3] {
            let read = |name: &str| std::fs::read(self.dir.path().join(out).join(name)).unwrap();
            ["model.safetensors", "checkpoint/state.safetensors", "metrics.jsonl"].map(read)
        }
    }

    #[test]
    fn two_ranks_write_the_files_of_one_and_say_it_once() {
        let job = Job::new();
        for (name, more) in [
            ("all", &["--shards", "2", "--json"][..]),
            ("head", &["--shards", "2", "--json", "--freeze", "backbone", "--augment", "none"]),
            (
                "mixed",
                &[
                    "--shards=2",
                    "--json",
                    "--augment=trivial",
                    "--erase=0.5",
                    "--mixup=0.2",
                    "--cutmix=1",
                ],
            ),
        ] {
            let [one, two] = ["one", "two"].map(|ranks| format!("{name} on {ranks}"));
            let alone = taper(&job.args(&one, more)).succeeds();
            let shared = job.on_ranks(2, &two, more).succeeds();
            assert!(job.files(&two) == job.files(&one), "{name}");
            assert_eq!(shared.stdout.lines().count(), 1, "{}", shared.stdout);
            let (alone, shared) = (alone.json(), shared.json());
            assert_eq!(shared["val_loss"], alone["val_loss"]);
            assert_eq!(shared["distributed"]["ranks"], 2);
            assert!(shared["distributed"]["sent_bytes"].as_u64().unwrap() > 0);
        }
        // Without a word about shards there is one a rank.
        let plain = job.on_ranks(2, "plain", &[]).succeeds();
        assert!(plain.stdout.contains("2 shards a step on 2 ranks"), "{}", plain.stdout);
        assert!(job.files("plain") == job.files("all on one"));
    }

    #[test]
    fn ranks_of_other_requests_are_refused_by_name_and_once() {
        let job = Job::new();
        let [one, other] = ["1", "2"].map(|seed| (1, job.args("run", &["--seed", seed])));
        let refused = ran(mpirun(&[one, other]));
        let complaints = refused.stderr.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(complaints.count(), 1, "{}", refused.stderr);
        refused.refuses(2, &["ranks differ in `seed`: rank 0 has `1`, rank 1 has `2`"]);
        assert!(!job.dir.path().join("run").exists());
        job.on_ranks(2, "run", &["--shards", "3", "--reduce", "fast"])
            .refuses(2, &["3 shards cannot be shared out to 2 ranks"]);
    }

    #[test]
    fn what_fails_on_one_rank_is_told_once_with_its_name() {
        let job = Job::new();
        let (good, mut bad) = (job.args("run", &[]), job.args("run", &[]));
        for word in &mut bad {
            if *word == job.data {
                *word = "/nowhere/at/all".to_owned();
            }
        }
        for (programs, told) in [
            ([(1, good.clone()), (1, bad.clone())], "error: rank 1 ended the job: "),
            ([(1, bad), (1, good)], "error: "),
        ] {
            let failed = ran(mpirun(&programs));
            assert!(failed.code.is_some_and(|code| code != 0), "{}", failed.stdout);
            assert_eq!(failed.stderr.matches("/nowhere/at/all").count(), 1, "{}", failed.stderr);
            let errors: Vec<&str> =
                failed.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
            assert!(errors.len() == 1 && errors[0].starts_with(told), "{}", failed.stderr);
        }
        assert!(!job.dir.path().join("run").exists());
    }

    /// The process that is the given rank of the job whose folder is named.
    fn process_of(out: &Path, rank: &str) -> Option<String> {
        let of = |entry: std::fs::DirEntry| {
            let environment = std::fs::read(entry.path().join("environ")).ok()?;
            let words = std::fs::read(entry.path().join("cmdline")).ok()?;
            let words = String::from_utf8_lossy(&words).into_owned();
            let is_rank = |variable: &[u8]| {
                [format!("OMPI_COMM_WORLD_RANK={rank}"), format!("PMI_RANK={rank}")]
                    .iter()
                    .any(|wanted| wanted.as_bytes() == variable)
            };
            let is_it = words.contains(&arg(out)) && environment.split(|b| *b == 0).any(is_rank);
            is_it.then(|| entry.file_name().to_string_lossy().into_owned())
        };
        std::fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(of)
    }

    /// Epochs of a job that is interrupted: it takes some seconds.
    const LONG: &str = "30";

    /// Starts a job, and sends a signal to one of its ranks when it has taken a few steps.
    fn interrupted(job: &Job, out: &str, ranks: usize, (rank, signal): (&str, &str)) -> Ran {
        let wild = ["--lr", "0.0003", "--clip-norm", "1", "--shards", "4"];
        let mut launched = mpirun(&[(ranks, job.args_of((LONG, "8"), out, &wild))]);
        launched.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = launched.spawn().unwrap();
        let folder = job.dir.path().join(out);
        let start = Instant::now();
        while !folder.join("model.safetensors").exists() {
            assert!(start.elapsed() < Duration::from_secs(60), "no model after a minute");
            std::thread::sleep(Duration::from_millis(5));
        }
        let process = process_of(&folder, rank).unwrap();
        assert!(Command::new("kill").args([signal, &process]).status().unwrap().success());
        crate::taper::finish(child)
    }

    #[test]
    fn a_rank_that_is_asked_to_stop_stops_all_and_one_that_is_killed_is_named_and_one_process_goes_on()
     {
        let job = Job::new();
        let stopped = interrupted(&job, "stopped", 4, ("3", "-INT"));
        assert_eq!(stopped.code, Some(130), "{}\n{}", stopped.stdout, stopped.stderr);
        assert_eq!(stopped.stdout.matches("everything is saved").count(), 1, "{}", stopped.stdout);
        let killed = interrupted(&job, "killed", 2, ("1", "-KILL"));
        assert_ne!(killed.code, Some(0), "{}", killed.stdout);
        // MPICH's launcher ends the other ranks before one of them can say which has gone, and says why itself.
        let is_named = killed.stderr.contains("rank 1");
        let is_told = is_mpich() && killed.stdout.contains("Killed (signal 9)");
        assert!(is_named || is_told, "{}\n{}", killed.stdout, killed.stderr);
        for out in ["stopped", "killed"] {
            taper(&["finetune", "--resume", &arg(&job.dir.path().join(out))]).succeeds();
        }
        assert!(job.files("stopped") == job.files("killed"));
    }
}

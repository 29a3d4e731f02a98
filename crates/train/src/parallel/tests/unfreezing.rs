//! What is trained changes from epoch to epoch, on any number of ranks alike.

use super::*;
use crate::Unfreeze;

#[test]
fn a_run_that_unfreezes_has_the_same_files_on_any_number_of_ranks() {
    let dir = tempfile::tempdir().unwrap();
    let (sets, loss) = (sets(), CrossEntropy::new());
    let run = |ranks: usize, name: &str, is_gradual: bool| {
        let settings = settings(&dir.path().join(name));
        let stop = AtomicBool::new(false);
        let outcomes = on_ranks((4, ranks), &|rank, parallel| {
            let classifier = ["classifier.weight", "classifier.bias"].map(str::to_owned);
            let network = network(0);
            let others = network.params().iter().map(|param| param.name.clone());
            let others = others.filter(|name| !classifier.contains(name)).collect();
            let unfreeze = Unfreeze::new(1, vec![classifier.to_vec(), others]).unwrap();
            let part = Rank {
                parallel: Some(parallel),
                sets: &sets,
                settings: &settings,
                start: Start::Fresh,
                seed: 1 + rank as u64,
                loss: &loss,
                stop: &stop,
                hook: is_gradual.then(|| Box::new(unfreeze) as Box<dyn StepHook>),
            };
            part.run(&mut |_| ())
        });
        outcomes.into_iter().for_each(|outcome| assert!(!outcome.unwrap().stopped));
        files(&settings)
    };
    let alone = run(1, "alone", true);
    assert!(run(2, "two", true) == alone);
    assert!(run(4, "four", true) == alone);
    assert!(run(1, "at once", false) != alone);
}

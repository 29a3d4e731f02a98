//! Groups of threads: every operation, every sum, every way to end.

use proptest::prelude::*;

use super::*;
use crate::{ReduceDtype, Reduction, Tree};

/// Runs the same program on `size` ranks and gives their results, by rank.
fn on<T: Send + 'static>(
    size: usize,
    program: impl Fn(Group) -> T + Clone + Send + 'static,
) -> Vec<T> {
    let ranks = Group::threads(size).unwrap().into_iter().map(|group| {
        let program = program.clone();
        thread::spawn(move || program(group))
    });
    ranks.collect::<Vec<_>>().into_iter().map(|rank| rank.join().unwrap()).collect()
}

const FAST: ReduceOptions = ReduceOptions { reduction: Reduction::Fast, dtype: ReduceDtype::F32 };
const BF16: ReduceOptions = ReduceOptions { reduction: Reduction::Exact, dtype: ReduceDtype::Bf16 };

#[test]
fn one_rank_gets_back_what_it_gives() {
    let group = Group::alone();
    let values = vec![1.0, 2.0];
    let place = values.as_ptr();
    let sum = group.reduce(0, values, BF16).wait().unwrap();
    assert_eq!((sum.as_ptr(), sum), (place, vec![1.0, 2.0]));
    assert_eq!(group.all_gather(vec![7]).unwrap(), [[7]]);
    assert_eq!(group.broadcast(0, vec![8]).unwrap(), [8]);
    assert!(group.broadcast(1, vec![8]).is_err());
    assert_eq!(group.gather(0, vec![9]).unwrap(), [[9]]);
    assert!(group.gather(1, vec![9]).is_err());
    group.barrier().unwrap();
    group.abort("nobody hears it");
    group.check().unwrap();
    assert_eq!(group.totals(), Totals::default());
}

#[test]
fn what_is_given_has_any_length_and_any_number_of_ranks() {
    for size in [1, 2, 3, 5, 8] {
        let all = on(size, move |group| {
            let mine = vec![u8::try_from(group.rank()).unwrap(); 3 * group.rank()];
            let gathered = group.all_gather(mine).unwrap();
            let sent: Vec<_> = (0..size)
                .map(|root| {
                    group
                        .broadcast(root, vec![u8::try_from(10 + group.rank()).unwrap(); root])
                        .unwrap()
                })
                .collect();
            let on_root: Vec<_> = (0..size)
                .map(|root| {
                    let mine = vec![u8::try_from(group.rank()).unwrap(); 3 * group.rank()];
                    (root == group.rank(), group.gather(root, mine).unwrap())
                })
                .collect();
            for (is_root, all) in on_root {
                assert_eq!(all, if is_root { gathered.clone() } else { Vec::new() });
            }
            group.barrier().unwrap();
            (gathered, sent)
        });
        let byte = |at: usize| u8::try_from(at).unwrap();
        let gathered: Vec<Vec<u8>> = (0..size).map(|rank| vec![byte(rank); 3 * rank]).collect();
        let sent: Vec<Vec<u8>> = (0..size).map(|root| vec![byte(10 + root); root]).collect();
        assert!(all.iter().all(|one| *one == (gathered.clone(), sent.clone())), "{size}");
    }
}

#[test]
fn a_sum_has_the_bits_of_the_tree_on_any_number_of_ranks() {
    let shard = |shard: usize| vec![1e16 / (shard + 1) as f64, 1.0 + shard as f64, -1e16];
    let of = move |shards: std::ops::Range<usize>| {
        let mut tree = Tree::new();
        shards.for_each(|at| tree.push(shard(at)));
        tree.finish().unwrap()
    };
    let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    for size in [1, 2, 3, 4, 5, 8] {
        let shards = if 8 % size == 0 { 8 } else { size };
        let sums = on(size, move |group| {
            let per = shards / size;
            let sum = group.sum(of(group.rank() * per..(group.rank() + 1) * per)).unwrap();
            (sum, group.totals().sent_bytes)
        });
        for (sum, sent) in sums {
            assert_eq!(bits(sum), bits(of(0..shards)), "{size}");
            let times = if size.is_power_of_two() { size.ilog2() as u64 } else { size as u64 - 1 };
            assert_eq!(sent, times * 24);
        }
    }
    let errors = on(2, |group| group.sum(vec![0.0; 1 + group.rank()]).unwrap_err());
    assert!(matches!(&errors[0], Error::Length { .. }), "{errors:?}");
}

#[test]
fn a_rank_that_leaves_is_named() {
    let errors = on(4, |group| match group.rank() {
        2 => None,
        _ => group.reduce(0, vec![1.0], ReduceOptions::default()).wait().and(group.barrier()).err(),
    });
    for (rank, error) in errors.into_iter().enumerate().filter(|(rank, _)| *rank != 2) {
        assert!(matches!(error, Some(Error::Lost { rank: 2, .. })), "{rank}: {error:?}");
    }
}

#[test]
fn a_rank_that_panics_is_named() {
    let errors = on(2, |group| {
        if group.rank() == 0 {
            return group.barrier().err();
        }
        drop(
            thread::spawn(move || {
                let _group = group;
                std::panic::resume_unwind(Box::new("as a bug would"));
            })
            .join(),
        );
        None
    });
    assert!(matches!(errors[0], Some(Error::Lost { rank: 1, .. })), "{errors:?}");
}

#[test]
fn a_message_ends_all_ranks_even_those_that_wait() {
    let errors = on(4, |group| {
        if group.rank() == 3 {
            group.abort("the disk is full");
        }
        // Rank 3 takes no part in it, so that the others would wait forever.
        let first = if group.rank() == 3 { Ok(()) } else { group.barrier() };
        first.and_then(|()| {
            loop {
                group.check()?;
                thread::yield_now();
            }
        })
    });
    let expected = Error::Aborted { rank: 3, message: "the disk is full".to_owned() };
    for error in errors {
        let result: Result<()> = error;
        assert_eq!(result, Err(expected.clone()));
    }
}

#[test]
fn a_message_is_heard_from_a_rank_that_leaves_at_once() {
    let told = on(2, |group| {
        if group.rank() == 1 {
            group.abort("a bad picture");
            return (None, group.leave());
        }
        let error = group.barrier().unwrap_err();
        (Some(error), group.leave())
    });
    let expected = Error::Aborted { rank: 1, message: "a bad picture".to_owned() };
    assert_eq!(told, [(Some(expected), true), (None, true)]);
}

#[test]
fn after_a_failure_every_call_fails_with_it() {
    let errors = on(2, |group| {
        if group.rank() == 1 {
            return Vec::new();
        }
        let first = group.barrier().unwrap_err();
        let values = group.reduce(0, vec![1.0], FAST).wait().map(drop);
        vec![
            Err(first),
            values,
            group.barrier(),
            group.check(),
            group.all_gather(Vec::new()).map(drop),
        ]
    });
    assert_eq!(errors[0].len(), 5);
    assert!(errors[0].iter().all(|error| *error == errors[0][0]), "{errors:?}");
}

#[test]
fn vectors_of_other_lengths_are_refused() {
    for options in [ReduceOptions::default(), FAST, BF16] {
        let errors =
            on(2, move |group| group.reduce(0, vec![1.0; 3 + group.rank()], options).wait().err());
        assert!(
            errors.iter().any(|error| matches!(error, Some(Error::Length { .. }))),
            "{errors:?}"
        );
        assert!(errors.iter().all(Option::is_some), "{errors:?}");
    }
}

#[test]
fn an_exact_sum_over_three_ranks_is_refused() {
    let errors =
        on(3, |group| group.reduce(0, vec![1.0], ReduceOptions::default()).wait().unwrap_err());
    assert!(
        errors.iter().all(|error| matches!(error, Error::Shards { ranks: 3, .. })),
        "{errors:?}"
    );
}

#[test]
fn ranks_that_were_started_differently_are_named() {
    let fact = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let errors = on(3, move |group| {
        let threads = if group.rank() == 2 { "4" } else { "1" };
        group
            .agree(&[fact("seed", "7"), fact("threads", threads), fact("data", threads)])
            .unwrap_err()
    });
    let values = vec![(0, "1".to_owned()), (2, "4".to_owned())];
    let expected = Error::Disagreement { key: "threads".to_owned(), values };
    assert!(errors.iter().all(|error| *error == expected), "{errors:?}");

    let errors = on(2, move |group| {
        let mut facts = vec![fact("seed", "7")];
        facts.extend((group.rank() == 1).then(|| fact("sync-bn", "true")));
        group.agree(&facts).unwrap_err()
    });
    assert!(
        errors[0].to_string().contains("rank 0 has `nothing`, rank 1 has `true`"),
        "{errors:?}"
    );
}

#[test]
fn the_first_tensor_that_differs_is_named() {
    let errors = on(4, |group| {
        let bits = if group.rank() == 3 { 1 } else { 0 };
        let digests =
            [("a", 5), ("b", bits), ("c", bits)].map(|(name, digest)| (name.to_owned(), digest));
        group.compare(&digests).unwrap_err()
    });
    let expected = Error::Diverged { name: "b".to_owned(), ranks: vec![3] };
    assert!(errors.iter().all(|error| *error == expected), "{errors:?}");
    let fine = on(2, |group| group.compare(&[("a".to_owned(), 5)]));
    assert_eq!(fine, [Ok(()), Ok(())]);
    let names = on(2, |group| group.compare(&[(format!("a{}", group.rank()), 5)]).is_err());
    assert_eq!(names, [true, true]);
}

#[test]
fn totals_and_trace_tell_what_was_sent() {
    let options = GroupOptions { trace: true, ..GroupOptions::default() };
    let ranks = Group::threads_with(2, options).unwrap().into_iter().map(|group| {
        thread::spawn(move || {
            let span = group.span("backward");
            let pending = group.reduce(4, vec![1.0; 10], ReduceOptions::default());
            drop(span);
            pending.wait().unwrap();
            (group.totals(), group.trace().unwrap())
        })
    });
    let ranks: Vec<_> =
        ranks.collect::<Vec<_>>().into_iter().map(|rank| rank.join().unwrap()).collect();
    for (totals, _) in &ranks {
        assert_eq!((totals.buckets, totals.reduced_bytes, totals.sent_bytes), (1, 40, 40));
        assert!(totals.communicating > Duration::ZERO);
    }
    let json = ranks[0].1.as_ref().unwrap();
    assert_eq!(ranks[1].1, None);
    for rank in 0..2 {
        for name in ["\"backward\",\"cat\":\"compute\"", "\"bucket 4\",\"cat\":\"communication\""] {
            assert!(json.contains(&format!("\"name\":{name},\"pid\":{rank}")), "{json}");
        }
    }
}

#[test]
fn whoever_has_an_answer_finds_it_in_the_trace() {
    let options = GroupOptions { trace: true, ..GroupOptions::default() };
    let ranks = Group::threads_with(2, options).unwrap().into_iter().map(|group| {
        thread::spawn(move || {
            for bucket in 0..200 {
                let sum = group.reduce(bucket, vec![1.0], ReduceOptions::default());
                sum.wait().unwrap();
                let name = format!("\"bucket {bucket}\"");
                assert!(group.recorder.events_json(group.rank()).contains(&name), "{name}");
            }
        })
    });
    ranks.collect::<Vec<_>>().into_iter().for_each(|rank| rank.join().unwrap());
}

#[test]
fn a_sum_that_was_there_before_anybody_waited_is_hidden() {
    let shares = on(2, |group| {
        let pending = group.reduce(0, vec![1.0; 10], ReduceOptions::default());
        // Jobs are served in order: when this one is, the sum is there.
        group.barrier().unwrap();
        pending.wait().unwrap();
        group.totals().hidden_share()
    });
    assert_eq!(shares, [1.0, 1.0]);
}

/// Sums `shards` on `ranks` ranks, each its own part.
fn exact_sum(shards: &[Vec<f32>], ranks: usize) -> Vec<Vec<u32>> {
    let shards = shards.to_vec();
    on(ranks, move |group| {
        let per = shards.len() / group.size();
        let mut tree = Tree::new();
        for shard in &shards[group.rank() * per..(group.rank() + 1) * per] {
            tree.push(shard.clone());
        }
        let sum = group.reduce(0, tree.finish().unwrap(), ReduceOptions::default()).wait().unwrap();
        sum.into_iter().map(f32::to_bits).collect()
    })
}

#[test]
fn long_vectors_which_are_halved_have_the_same_bits() {
    let value =
        |shard: usize, at: usize| ((shard * 7919 + at * 104_729) % 10_007) as f32 * 0.37 - 1e3;
    let shards: Vec<Vec<f32>> =
        (0..16).map(|shard| (0..5003).map(|at| value(shard, at)).collect()).collect();
    let alone = exact_sum(&shards, 1).remove(0);
    for ranks in [2, 4, 8, 16] {
        assert!(exact_sum(&shards, ranks).into_iter().all(|sum| sum == alone), "{ranks}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]

    #[test]
    fn any_number_of_ranks_has_the_bits_of_one(
        log_shards in 0_u32..5,
        log_ranks in 0_u32..4,
        values in prop::collection::vec(prop::collection::vec(any::<f32>().prop_filter("NaN", |v| !v.is_nan()), 5), 16),
    ) {
        let shards = &values[..1 << log_shards];
        let alone = exact_sum(shards, 1).remove(0);
        for sum in exact_sum(shards, 1 << log_ranks.min(log_shards)) {
            let same = sum.iter().zip(&alone).all(|(a, b)| a == b || f32::from_bits(*a).is_nan() && f32::from_bits(*b).is_nan());
            prop_assert!(same, "{:?} {:?}", sum, alone);
        }
    }

    #[test]
    fn a_fast_sum_is_near_and_the_same_on_all(ranks in 1_usize..6, values in prop::collection::vec(-1e3_f32..1e3, 6)) {
        let given = values.clone();
        let sums = on(ranks, move |group| group.reduce(0, vec![given[group.rank()]; 3], FAST).wait().unwrap());
        let exact: f64 = values[..ranks].iter().map(|&value| f64::from(value)).sum();
        for sum in &sums {
            prop_assert_eq!(sum, &sums[0]);
            prop_assert!((f64::from(sum[0]) - exact).abs() < 1e-2);
        }
    }

    /// With error feedback, what many steps have summed is off by no more than what two roundings owe at the end.
    #[test]
    fn bf16_forgets_nothing(ranks in 1_usize..6, values in prop::collection::vec(-1.0_f32..1.0, 6), length in 0_usize..9) {
        let given = values.clone();
        let sums = on(ranks, move |group| {
            let mut total = vec![0.0_f64; length];
            for _ in 0..50 {
                let sum = group.reduce(3, vec![given[group.rank()]; length], BF16).wait().unwrap();
                total.iter_mut().zip(&sum).for_each(|(total, sum)| *total += f64::from(*sum));
            }
            total
        });
        let exact: f64 = 50.0 * values[..ranks].iter().map(|&value| f64::from(value)).sum::<f64>();
        for total in &sums {
            prop_assert_eq!(total, &sums[0]);
            prop_assert!(total.iter().all(|total| (total - exact).abs() < 0.05), "{:?} {}", total, exact);
        }
    }

    #[test]
    fn restored_residuals_go_on_to_the_bit(values in prop::collection::vec(-1.0_f32..1.0, 5), cut in 1_usize..5) {
        let program = |cut: Option<usize>| {
            let values = values.clone();
            move |group: Group| {
                let mut sums = Vec::new();
                for step in 0..6 {
                    if cut == Some(step) {
                        let owed = group.residuals().unwrap();
                        group.restore_residuals(Vec::new()).unwrap();
                        assert_eq!(group.residuals().unwrap(), []);
                        group.restore_residuals(owed).unwrap();
                    }
                    let mine = values.iter().map(|value| value * (1 + group.rank()) as f32).collect();
                    sums.push(group.reduce(0, mine, BF16).wait().unwrap());
                }
                sums
            }
        };
        prop_assert_eq!(on(2, program(None)), on(2, program(Some(cut))));
    }
}

#[test]
fn a_call_whose_job_is_dropped_hears_why_as_soon_as_it_is_known() {
    let (control, (reply, receiver)) = (Control::default(), mpsc::channel::<()>());
    drop(reply);
    let theirs = control.clone();
    let start = Instant::now();
    let told = thread::spawn(move || receive(&receiver, &theirs, 0));
    // Not over: an engine that has failed stays until its group is dropped.
    control.fail(Error::Silent { rank: 1, seconds: 2 });
    assert_eq!(told.join().unwrap(), Err(Error::Silent { rank: 1, seconds: 2 }));
    assert!(start.elapsed() < FAREWELL, "it has waited for the end instead");
}

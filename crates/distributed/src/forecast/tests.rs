//! Forecasts against what is really sent, and against times by hand.

use super::*;
use crate::{Group, Reduction};

const LINK: Link = Link { latency: 0.001, bandwidth: 1e6, seconds_per_sum: 0.0 };

#[track_caller]
fn close(got: f64, expected: f64) {
    assert!((got - expected).abs() < 1e-12, "{got}, {expected} expected");
}

/// Bytes that rank 0 of so many has sent for a vector.
fn sent(length: usize, ranks: usize, options: ReduceOptions) -> usize {
    let all = Group::threads(ranks).unwrap().into_iter().map(|group| {
        std::thread::spawn(move || {
            group.reduce(0, vec![1.0; length], options).wait().unwrap();
            group.totals().sent_bytes
        })
    });
    let all: Vec<_> = all.collect();
    let sent: Vec<u64> = all.into_iter().map(|rank| rank.join().unwrap()).collect();
    usize::try_from(sent[0]).unwrap()
}

#[test]
fn bytes_are_those_that_a_reduction_sends() {
    let fast = ReduceOptions { reduction: Reduction::Fast, ..ReduceOptions::default() };
    let bf16 = ReduceOptions { dtype: ReduceDtype::Bf16, ..ReduceOptions::default() };
    for options in [ReduceOptions::default(), fast, bf16] {
        for ranks in [1, 2, 4, 8] {
            for length in [1, 24, 4095, 4096, 10_007] {
                let expected = rounds(length, ranks, options).unwrap();
                let expected: usize = expected.iter().map(|round| round.bytes).sum();
                let sent = sent(length, ranks, options);
                // Parts of a vector that ranks do not divide differ by one value.
                let slack = if options == bf16 { 4 * ranks } else { 0 };
                assert!(
                    sent.abs_diff(expected) <= slack,
                    "{length} on {ranks}: {sent}, {expected} expected"
                );
            }
        }
    }
}

#[test]
fn a_bucket_waits_for_its_last_gradient_and_for_the_bucket_before() {
    let buckets = Buckets::new(&[100, 150, 250], 1000);
    assert_eq!(buckets.lengths(), [250, 250]);
    let message = LINK.latency + 1000.0 / LINK.bandwidth + LONGEST_PAUSE / 2.0;
    let told = |times: [f64; 3], stalled: f64, hidden: usize| {
        let two = (2, ReduceOptions::default());
        let forecast = buckets.forecast(&times, &[], two, LINK).unwrap();
        close(forecast.communicating, 2.0 * message);
        close(forecast.stalled, stalled);
        assert_eq!((forecast.reduced_bytes, forecast.sent_bytes), (2000, 2000));
        assert_eq!(forecast.hidden_bytes, hidden);
    };
    // The first bucket is done when the second begins; is not; and waits for a parameter behind those of the second.
    told([0.0, 1.0, 2.0], message, 1000);
    told([0.0, 2.0, 2.0], 2.0 * message, 0);
    told([2.0, 0.0, 1.0], 2.0 * message, 0);
}

#[test]
fn statistics_come_last_and_are_not_rounded() {
    let bf16 = ReduceOptions { dtype: ReduceDtype::Bf16, ..ReduceOptions::default() };
    let forecast = Buckets::new(&[], 1000).forecast(&[], &[250], (2, bf16), LINK).unwrap();
    assert_eq!(forecast.sent_bytes, 1000);
    close(forecast.stalled, LINK.latency + 0.001 + LONGEST_PAUSE / 2.0);
}

#[test]
fn one_rank_pays_nothing_and_impossible_ranks_are_refused() {
    let buckets = Buckets::new(&[100], 1000);
    let of = |ranks| buckets.forecast(&[1.0], &[7], (ranks, ReduceOptions::default()), LINK);
    let alone = of(1).unwrap();
    assert_eq!(alone.sent_bytes, 0);
    close(alone.stalled + alone.communicating, 0.0);
    assert!(matches!(of(3), Err(Error::Shards { .. })));
    let times = buckets.forecast(&[1.0; 2], &[], (2, ReduceOptions::default()), LINK);
    assert!(matches!(times, Err(Error::Call { .. })));
}

#[test]
fn what_all_give_travels_once_to_each_of_the_others() {
    close(LINK.all_gather(1, 1000), 0.0);
    close(LINK.all_gather(5, 1000), 4.0 * (0.001 + 0.001 + LONGEST_PAUSE / 2.0));
}

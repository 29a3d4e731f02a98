//! Predictions for ranks against the network's own order of gradients, and what must hold of any of them.

use candle_core::Device;
use serde_json::json;
use taper_cost::LatencyModel;
use taper_layers::Network;
use taper_model::{Model, Preprocess};

use super::*;

/// A machine of one thread that needs a nanosecond for a multiply-accumulate, and a millisecond before a pass.
fn calibration() -> Calibration {
    let roof = json!({ "threads": 1, "flops_per_second": 4e9, "copies": [[262_144, 1e10]] });
    let unit = |kind: &str, macs: usize| {
        let shape = json!({ "kind": kind, "positions": macs, "in_channels": 1, "out_channels": 16, "groups": 1, "taps": 1,
            "stride": 1, "read": macs, "written": macs, "weights": 1, "exponentials": 0 });
        json!({ "shape": shape, "batch": 1, "macs": macs, "elementwise": 0, "gradients": [false, false],
            "around": macs, "seconds": macs as f64 * 1e-9 })
    };
    let kinds = ["dense", "pointwise", "depthwise", "linear", "global_mean", "add", "copy"];
    let units: Vec<_> =
        kinds.iter().flat_map(|kind| [unit(kind, 1_000), unit(kind, 1_000_000)]).collect();
    let mode = |mode: &str| json!({ "mode": mode, "threads": 1, "roof": roof, "units": units, "bands": [], "overhead": 0.001, "scale": 1.0 });
    let modes = ["together", "image_a_thread", "forward", "backward"].map(mode);
    let machine = json!({ "processor": "Abacus 9", "isa": "Beads", "cores": 1, "version": "0", "date": "2026-01-01" });
    let file = json!({ "format": 3, "machine": machine, "modes": modes, "steps": [] });
    Calibration::from_json(&file.to_string()).unwrap()
}

fn options(batch: usize) -> CostOptions {
    CostOptions {
        batch,
        threads: 1,
        image_size: Some([64, 64]),
        ..CostOptions::new("mobilenetv2_035")
    }
}

fn asked(ranks: &str, networks: &[&str]) -> RanksCostOptions {
    RanksCostOptions {
        ranks: parse_ranks(ranks).unwrap(),
        networks: networks.iter().map(|link| parse_link(link).unwrap()).collect(),
        scaling: Scaling::Weak,
        reduce: Reduce::Exact,
        reduce_dtype: ReduceDtype::F32,
        sync_every: 1,
    }
}

#[test]
fn gradients_and_statistics_are_those_of_the_network_in_their_order() {
    let calibration = calibration();
    let network = CostNetwork::open("mobilenetv2_035").unwrap();
    for freeze in ["none", "blocks.3"] {
        let options = CostOptions { freeze: freeze.parse().unwrap(), ..options(2) };
        let predictor = Predictor::new(&options, Some(&calibration)).unwrap();
        let (step, _) = predictor.training_step(&network, &options).unwrap().unwrap();
        let gradients = step.gradients.unwrap();
        let model = Model::random(network.graph.clone(), 0, Preprocess::imagenet(), Vec::new());
        let mut trained = Network::new(&model.unwrap(), &Device::Cpu).unwrap();
        options.freeze.apply(&mut trained).unwrap();
        let order: Vec<usize> = gradients.final_at.iter().map(|(id, _)| id.index()).collect();
        assert_eq!(order, trained.gradient_order().unwrap(), "{freeze}");
        let statistics = trained.statistics_order().unwrap();
        let numbers = statistics.iter().map(|&index| trained.params()[index].var.elem_count());
        assert_eq!(gradients.statistics, numbers.sum::<usize>(), "{freeze}");
        // Later and later, after the forward pass and before the optimizer.
        let times: Vec<f64> = gradients.final_at.iter().map(|(_, at)| at.0).collect();
        assert!(times.is_sorted() && times[0] > 0.0);
        assert!(*times.last().unwrap() <= step.total.0);
        let model = LatencyModel::new(&calibration, 1).unwrap();
        let outputs: Vec<&str> = network.graph.main_outputs().collect();
        assert!(
            model.inference(&network.graph, &outputs, [1, 64, 64]).unwrap().gradients.is_none()
        );
    }
}

#[test]
fn a_slower_network_costs_more_and_bf16_sends_half() {
    let calibration = calibration();
    let network = CostNetwork::open("mobilenetv2_035").unwrap();
    let of = |asked: &RanksCostOptions| {
        ranks_cost(&network, &options(2), Some(&calibration), asked).unwrap()
    };
    let cost = of(&asked("1,2..8", &["10us:100Gb", "10us:100Mb", "10us:100Gb"]));
    assert_eq!(cost.rows.len(), 8, "a network that is said twice is one");
    let (fast, slow) = cost.rows.split_at(4);
    for (fast, slow) in fast.iter().zip(slow) {
        assert_eq!((fast.ranks, fast.batch, fast.sent_bytes), (slow.ranks, 2, slow.sent_bytes));
        for row in [fast, slow] {
            let parts = row.compute_ms + row.stall_ms + row.exchange_ms;
            assert!((row.step_ms - parts).abs() < 1e-9 * parts);
            assert!((row.efficiency - cost.alone_ms / row.step_ms).abs() < 1e-9);
            let images = 1e3 * (2 * row.ranks) as f64 / row.step_ms;
            assert!((row.images_per_second - images).abs() < 1e-9 * images);
        }
        if fast.ranks == 1 {
            assert!((fast.efficiency - 1.0).abs() < 1e-12 && fast.sent_bytes == 0);
        } else {
            assert!(slow.stall_ms > fast.stall_ms && slow.efficiency < fast.efficiency);
            assert!(slow.hidden_share <= fast.hidden_share);
        }
    }
    let bf16 = of(&RanksCostOptions { reduce_dtype: ReduceDtype::Bf16, ..asked("8", &["1Gb"]) });
    let statistics =
        bf16.rows[0].sent_bytes as f64 / of(&asked("8", &["1Gb"])).rows[0].sent_bytes as f64;
    assert!((0.5..0.53).contains(&statistics), "{statistics}: statistics are not rounded");
}

#[test]
fn ranks_that_meet_every_eight_steps_send_an_eighth_and_hide_nothing() {
    let calibration = calibration();
    let network = CostNetwork::open("mobilenetv2_035").unwrap();
    let every = |sync_every| {
        let asked = RanksCostOptions { sync_every, ..asked("4", &["25Gb"]) };
        ranks_cost(&network, &options(2), Some(&calibration), &asked)
    };
    let [one, two, eight] = [1, 2, 8].map(|steps| every(steps).unwrap().rows[0].clone());
    assert_eq!(eight.sent_bytes, one.sent_bytes.div_ceil(8));
    assert!((two.stall_ms - 4.0 * eight.stall_ms).abs() < 1e-9 * two.stall_ms);
    // All at once waits no less than what was hidden behind the reverse pass, and never more than all of it.
    let whole = 8.0 * eight.stall_ms;
    assert!(whole >= one.stall_ms && whole <= one.stall_ms + one.compute_ms, "{whole}");
    assert!(eight.hidden_share.abs() < 1e-12 && one.hidden_share > 0.0);
    assert!((eight.compute_ms, eight.exchange_ms) == (one.compute_ms, one.exchange_ms));
    let none = every(0).unwrap_err();
    assert!(none.to_string().starts_with("`sync_every` is 0"), "{none}");
}

#[test]
fn strong_scaling_shares_one_batch_and_refuses_to_share_what_is_not_there() {
    let calibration = calibration();
    let network = CostNetwork::open("mobilenetv2_035").unwrap();
    let strong = RanksCostOptions { scaling: Scaling::Strong, ..asked("2,4", &["1Gb"]) };
    let cost = ranks_cost(&network, &options(6), Some(&calibration), &strong).unwrap();
    assert_eq!(cost.rows.iter().map(|row| row.batch).collect::<Vec<_>>(), [3, 2]);
    for row in &cost.rows {
        let speedup = cost.alone_ms / row.step_ms;
        assert!((row.efficiency - speedup / row.ranks as f64).abs() < 1e-9);
    }
    let refused = |batch, asked: &RanksCostOptions, calibration: Option<&Calibration>| {
        let error = ranks_cost(&network, &options(batch), calibration, asked).unwrap_err();
        assert!(error.is_request());
        error.to_string()
    };
    let words = refused(3, &strong, Some(&calibration));
    assert!(words.contains("4 or more"), "{words}");
    let words = refused(2, &asked("2..3,6", &["1Gb"]), Some(&calibration));
    assert!(words.contains("power of two") && words.contains("--reduce fast"), "{words}");
    let words = refused(2, &asked("2", &["1Gb"]), None);
    assert!(words.contains("calibrate this machine first"), "{words}");
    let fast = RanksCostOptions { reduce: Reduce::Fast, ..asked("3", &["1Gb"]) };
    ranks_cost(&network, &options(2), Some(&calibration), &fast).unwrap();
}

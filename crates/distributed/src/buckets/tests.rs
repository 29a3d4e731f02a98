//! Buckets: where they end, what they refuse, and that they go in the order of all ranks.

use proptest::prelude::*;

use super::*;

#[test]
fn a_bucket_ends_before_it_would_be_too_large() {
    let buckets = Buckets::new(&[3, 2, 9, 1, 1, 1], 16);
    assert_eq!(buckets.lengths(), [3, 2, 9, 3]);
    assert_eq!(buckets.len(), 4);
    assert!(Buckets::new(&[], 16).is_empty());
}

#[test]
fn what_is_not_expected_is_refused() {
    let group = Group::alone();
    let mut buckets = Buckets::new(&[2, 1], 16);
    let mut sending = buckets.begin(&group, ReduceOptions::default());
    assert!(sending.put(2, &[1.0]).is_err());
    assert!(sending.put(1, &[1.0, 2.0]).is_err());
    sending.put(1, &[1.0]).unwrap();
    assert!(sending.put(1, &[1.0]).is_err());
    let error = sending.wait(|_, _| {}).unwrap_err();
    assert!(error.to_string().starts_with("no gradient of parameter 0"), "{error}");
}

/// A step of two ranks whose gradients come in different orders.
fn sums(lengths: &[usize], bytes: usize, orders: [Vec<usize>; 2]) -> [Vec<f32>; 2] {
    let ranks = Group::threads(2).unwrap().into_iter().zip(orders).map(|(group, order)| {
        let lengths = lengths.to_vec();
        std::thread::spawn(move || {
            let mut buckets = Buckets::new(&lengths, bytes);
            let mut all = Vec::new();
            // The second step uses the vectors of the first again.
            for step in [1.0, 3.0] {
                let mut sending = buckets.begin(&group, ReduceOptions::default());
                for &parameter in &order {
                    let value = step * (parameter as f32 + 100.0 * group.rank() as f32);
                    sending.put(parameter, &vec![value; lengths[parameter]]).unwrap();
                }
                sending.wait(|_, sum| all.extend_from_slice(sum)).unwrap();
            }
            all
        })
    });
    let ranks: Vec<_> = ranks.collect();
    ranks.into_iter().map(|rank| rank.join().unwrap()).collect::<Vec<_>>().try_into().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]

    #[test]
    fn buckets_go_in_their_order_whatever_the_order_of_gradients(
        lengths in prop::collection::vec(0_usize..6, 1..12),
        bytes in 4_usize..64,
        seed in any::<u32>(),
    ) {
        let order = |seed: u32| {
            let mut order: Vec<usize> = (0..lengths.len()).collect();
            order.sort_by_key(|&at| crate::digest_f32(&[at as f32, f32::from_bits(seed)]));
            order
        };
        let [first, second] = sums(&lengths, bytes, [order(seed), order(!seed)]);
        let mut expected = Vec::new();
        for step in [1.0, 3.0] {
            for (at, &length) in lengths.iter().enumerate() {
                expected.extend(vec![step * at as f32 + step * (at as f32 + 100.0); length]);
            }
        }
        prop_assert_eq!(&first, &expected);
        prop_assert_eq!(&second, &expected);
    }

    #[test]
    fn every_value_is_in_one_bucket(lengths in prop::collection::vec(0_usize..50, 0..40), bytes in 1_usize..300) {
        let buckets = Buckets::new(&lengths, bytes);
        prop_assert_eq!(buckets.lengths().iter().sum::<usize>(), lengths.iter().sum::<usize>());
        for members in &buckets.members {
            prop_assert!(members.len() == 1 || 4 * buckets.length(members) <= bytes);
        }
    }
}

//! The bytes of states: golden, read back, and hostile.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, Int64Array};
use arrow::datatypes::DataType;
use proptest::prelude::*;
use yeoul_agg::{AggError, Aggregate, Input, sketches};

const SKETCHES: [Aggregate; 3] =
    [Aggregate::Hll { lg_k: 8 }, Aggregate::Theta { lg_k: 5 }, Aggregate::Quantiles { k: 4 }];

fn sketch(aggregate: Aggregate, values: Vec<i64>) -> Vec<u8> {
    let groups = vec![0; values.len()];
    let values: ArrayRef = Arc::new(Int64Array::from(values));
    let mut accumulator = aggregate.accumulator(Some(&DataType::Int64)).unwrap();
    accumulator.update(&groups, 1, Input { values: Some(&values), ..Input::default() }).unwrap();
    accumulator.state().unwrap().as_binary::<i32>().value(0).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All readers at once: none may panic, each gives an error or a number.
fn read_all(bytes: &[u8]) -> [Result<f64, AggError>; 3] {
    [
        sketches::hll_estimate(bytes),
        sketches::theta_estimate(bytes),
        sketches::quantiles(bytes, &[0.5]).map(|found| found.map_or(0.0, |found| found[0])),
    ]
}

#[test]
fn sketches_have_the_documented_bytes() {
    let [hll, theta, quantiles] = SKETCHES;
    // As the library's own: 1 and 2 as 8-byte numbers, seed 9001.
    assert_eq!(hex(&sketch(hll, vec![])), "02010708030c0008");
    assert_eq!(hex(&sketch(theta, vec![])), "01030300001ecc93");
    assert_eq!(hex(&sketch(quantiles, vec![])), "0103081c04000000");
    assert_eq!(hex(&sketch(hll, vec![1, 2, 1])), GOLDEN_HLL);
    assert_eq!(hex(&sketch(theta, vec![1, 2, 1])), GOLDEN_THETA);
    assert_eq!(
        hex(&sketch(quantiles, vec![2, 1])),
        "0203081804000000".to_owned()
            + "0200000000000000"
            + "000000000000f03f"
            + "0000000000000040"
            + "000000000000f03f"
            + "0000000000000040"
    );
}

const GOLDEN_HLL: &str = "02010708030802082bf2fb06862ff90d";
const GOLDEN_THETA: &str = "02030300001acc93020000000000000015f97dcbbd86a105c397fc1281709d1e";

#[test]
fn cut_bytes_are_refused() {
    for (index, aggregate) in SKETCHES.into_iter().enumerate() {
        for values in [0, 1, 3, 20, 300] {
            let whole = sketch(aggregate, (0..values).collect());
            assert!(read_all(&whole)[index].is_ok(), "{aggregate} of {values}");
            for cut in 0..whole.len() {
                assert!(read_all(&whole[..cut])[index].is_err(), "{aggregate} {values} {cut}");
            }
        }
    }
}

#[test]
fn a_state_that_is_no_sketch_is_an_error() {
    for aggregate in SKETCHES {
        let mut accumulator = aggregate.accumulator(Some(&DataType::Int64)).unwrap();
        let states: ArrayRef = Arc::new(BinaryArray::from_iter_values([b"no sketch of any kind"]));
        let error = accumulator.merge(&[0], 1, &states).unwrap_err();
        assert!(matches!(error, AggError::Sketch { .. }), "{error}");
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let error = accumulator.merge(&[0], 1, &numbers).unwrap_err();
        assert!(matches!(error, AggError::State { .. }), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_all(&bytes);
    }

    #[test]
    fn changed_bytes_never_panic(
        kind in 0_usize..3,
        values in 0_i64..400,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let aggregate = SKETCHES[kind];
        let mut bytes = sketch(aggregate, (0..values).collect());
        for (at, byte) in changes {
            let at = at.index(bytes.len().min(48));
            bytes[at] = byte;
        }
        let _ = read_all(&bytes);
        // What can be read can be merged, and the result can be read again.
        let mut accumulator = aggregate.accumulator(Some(&DataType::Int64)).unwrap();
        let other = sketch(aggregate, (values / 2..600).collect());
        let states: ArrayRef = Arc::new(BinaryArray::from_iter_values([bytes, other]));
        if accumulator.merge(&[0, 0], 1, &states).is_ok() {
            let merged = accumulator.state().unwrap();
            prop_assert!(read_all(merged.as_binary::<i32>().value(0))[kind].is_ok());
        }
    }
}

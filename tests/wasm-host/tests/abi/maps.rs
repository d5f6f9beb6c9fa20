//! The encoding of header maps.

use crate::*;

#[test]
fn a_map_is_encoded_as_all_lengths_and_then_all_texts_each_with_a_nul() {
    let bytes = encode_pairs(&pairs(&[("ab", "c"), ("", "")]));
    let lengths = b"\x02\0\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0";
    assert_eq!(bytes, [&lengths[..], b"ab\0c\0\0\0"].concat());
}

#[test]
fn a_map_of_any_bytes_survives_encoding_and_decoding() {
    let every_byte: Vec<u8> = (0..=255).collect();
    let map = vec![(every_byte.clone(), every_byte), (Vec::new(), b"\0".to_vec())];
    assert_eq!(decode_pairs(&encode_pairs(&map)), map);
}

#[test]
fn a_malformed_map_is_decoded_as_empty() {
    let good = encode_pairs(&pairs(&[("name", "value")]));
    for cut in 0..good.len() {
        assert_eq!(decode_pairs(&good[..cut]), Pairs::new(), "{cut}");
    }
    assert_eq!(decode_pairs(&[&good[..], b"\0"].concat()), Pairs::new());
    let no_nul: Vec<u8> = good.iter().map(|byte| if *byte == 0 { 1 } else { *byte }).collect();
    assert_eq!(decode_pairs(&no_nul), Pairs::new());
    assert_eq!(decode_pairs(&[0xff; 64]), Pairs::new());
}

#[test]
fn a_map_over_the_limits_is_decoded_as_empty() {
    let map = |count| vec![(b"k".to_vec(), b"v".to_vec()); count];
    assert_eq!(decode_pairs(&encode_pairs(&map(MAX_PAIRS))).len(), MAX_PAIRS);
    assert_eq!(decode_pairs(&encode_pairs(&map(MAX_PAIRS + 1))), Pairs::new());
    let overhead = encode_pairs(&[(Vec::new(), Vec::new())]).len();
    let large = |size| vec![(Vec::new(), vec![b'v'; size - overhead])];
    assert_eq!(decode_pairs(&encode_pairs(&large(MAX_PAIRS_BYTES))).len(), 1);
    assert_eq!(decode_pairs(&encode_pairs(&large(MAX_PAIRS_BYTES + 1))), Pairs::new());
}

#[test]
fn header_names_are_lower_case_and_the_first_of_several_values_wins() {
    let headers: HeaderMap = [("X-A", "1"), ("x-a", "2"), ("x-b", "3")].into_iter().collect();
    assert_eq!(headers.get("x-A"), Some(&b"1"[..]));
    assert_eq!(headers.all("x-a").count(), 2);
    assert_eq!(headers.pairs()[0].0, b"x-a");
}

use http::header::{CONTENT_TYPE, LINK, SET_COOKIE};
use proptest::{collection::vec, prelude::*};

use super::*;

fn response(body: &'static str, headers: &[(HeaderName, &'static str)]) -> KeptResponse {
    KeptResponse {
        status: StatusCode::CREATED,
        headers: map(headers),
        body: Bytes::from_static(body.as_bytes()),
        trailers: None,
    }
}

fn map(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name.clone(), HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn the_record_is_the_one_that_is_documented() {
    // Stores keep records beyond a release.
    let kept = response("ok", &[(LINK, "a")]).encode().unwrap();
    let record = b"HR\x01\x00\xc9\x00\x01\x00\x04\x00\x00\x00\x01linka\x00\x00\x00\x02ok\x00\x00";
    assert_eq!(kept, record[..]);
}

#[test]
fn repeated_headers_trailers_and_secrecy_survive() {
    let mut kept = response("ok", &[(LINK, "a"), (CONTENT_TYPE, "x"), (LINK, "b"), (LINK, "a")]);
    let mut secret = HeaderValue::from_static("secret");
    secret.set_sensitive(true);
    kept.headers.insert("x-secret", secret);
    kept.trailers = Some(map(&[(HeaderName::from_static("grpc-status"), "0")]));
    let decoded = KeptResponse::decode(&kept.encode().unwrap()).unwrap();
    assert_eq!(decoded, kept);
    let links: Vec<_> = decoded.headers.get_all(LINK).iter().collect();
    assert_eq!(links, ["a", "b", "a"]);
    assert!(decoded.headers["x-secret"].is_sensitive());
}

#[test]
fn what_is_recorded_while_it_is_read_is_the_same_without_what_is_not_kept() {
    let policy = KeptHeaders::new();
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::CREATED;
    *response.headers_mut() = map(&[(LINK, "a"), (SET_COOKIE, "id=7"), (LINK, "b")]);
    let trailers = map(&[(LINK, "end"), (SET_COOKIE, "id=8")]);
    let (head, ()) = response.into_parts();
    let body = [Bytes::from("o"), Bytes::from("k")];
    let record = Recording::of(&head, &policy, 0).end(&body, Some(&trailers), &policy).unwrap();
    let mut expected = super::tests::response("ok", &[(LINK, "a"), (LINK, "b")]);
    expected.trailers = Some(map(&[(LINK, "end")]));
    assert_eq!(KeptResponse::decode(&record), Ok(expected.clone()));
    assert_eq!(expected.encode().unwrap(), record);
}

#[test]
fn body_and_values_are_parts_of_the_record() {
    let record = response("a body", &[(LINK, "a value")]).encode().unwrap();
    let within = record.as_ptr_range();
    let decoded = KeptResponse::decode(&record).unwrap();
    assert!(within.contains(&decoded.body.as_ptr()));
    assert!(within.contains(&decoded.headers[LINK].as_bytes().as_ptr()));
}

#[test]
fn a_record_that_is_no_response_of_this_version_says_so() {
    let decode = |bytes: &'static [u8]| KeptResponse::decode(&Bytes::from_static(bytes));
    for nothing in [&b"{\"status\":200}"[..], b"X", b"HX", b"HS\x01", &[0; 64]] {
        assert_eq!(decode(nothing), Err(KeptResponseError::NoResponse), "{nothing:?}");
    }
    let later = Err(KeptResponseError::UnknownVersion { version: 2 });
    assert_eq!(decode(b"HR\x02"), later);
    assert_eq!(decode(b"HR\x02\x00\xc9\x00\x00"), later);
}

#[test]
fn what_no_response_has_is_corrupt() {
    let table: [(&'static [u8], &str); 9] = [
        (b"HR\x01\x00\x63\x00\x00\x00\x00\x00\x00\x00\x00", "status 99"),
        (b"HR\x01\x00\x65\x00\x00\x00\x00\x00\x00\x00\x00", "status 101: it has no reply"),
        (b"HR\x01\x03\xe8\x00\x00\x00\x00\x00\x00\x00\x00", "status 1000"),
        (b"HR\x01\x00\xc8\x00\x00\x00\x00\x00\x00\x00\x00!", "more behind its end"),
        (b"HR\x01\x00\xc8\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "no name"),
        (b"HR\x01\x00\xc8\x00\x01\x00\x01\x00\x00\x00\x00A\x00\x00\x00\x00\x00\x00", "a capital"),
        (b"HR\x01\x00\xc8\x00\x01\x00\x01\x00\x00\x00\x00 \x00\x00\x00\x00\x00\x00", "a space"),
        (b"HR\x01\x00\xc8\x00\x01\x00\x01\x00\x00\x00\x01a\n\x00\x00\x00\x00\x00\x00", "a newline"),
        (b"HR\x01\x00\xc8\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00\x01a\0", "NUL"),
    ];
    for (record, what) in table {
        let decoded = KeptResponse::decode(&Bytes::from_static(record));
        assert_eq!(decoded, Err(KeptResponseError::Corrupt), "{what}");
    }
}

#[test]
fn more_lines_than_a_map_has_room_for_are_an_error() {
    let mut record = BytesMut::from(&b"HR\x01\x00\xc8\xff\xff"[..]);
    for number in 0..u32::from(u16::MAX) {
        record.put_slice(b"\x00\x05\x00\x00\x00\x00");
        record.put_slice(format!("{number:05}").as_bytes());
    }
    record.put_slice(&[0; 6]);
    assert_eq!(KeptResponse::decode(&record.freeze()), Err(KeptResponseError::Corrupt));
}

#[test]
fn a_length_that_is_claimed_allocates_nothing_and_is_refused() {
    for record in [
        &b"HR\x01\x00\xc8\xff\xff\x00"[..],
        b"HR\x01\x00\xc8\x00\x01\xff\xff\x00\x00\x00\x00a",
        b"HR\x01\x00\xc8\x00\x01\x00\x01\x7f\xff\xff\xffab",
        b"HR\x01\x00\xc8\x00\x00\xff\xff\xff\xffbody",
    ] {
        let decoded = KeptResponse::decode(&Bytes::from_static(record));
        assert_eq!(decoded, Err(KeptResponseError::Truncated), "{record:?}");
    }
}

#[test]
fn debug_shows_no_header_and_no_body() {
    let shown = format!("{:?}", response("secret", &[(LINK, "secret")]));
    assert_eq!(shown, "KeptResponse { status: 201, headers: 1, body: 6, .. }");
}

prop_compose! {
    fn headers()(
        lines in vec(("[a-z]{1,3}|x-[a-z-]{1,9}", "[ -~]{0,20}", any::<bool>()), 0..6),
    ) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value, is_sensitive) in lines {
            let mut value = HeaderValue::try_from(value).unwrap();
            value.set_sensitive(is_sensitive);
            headers.append(HeaderName::try_from(name).unwrap(), value);
        }
        headers
    }
}

prop_compose! {
    fn responses()(
        status in 200..1000_u16, headers in headers(), body in vec(any::<u8>(), 0..60),
        trailers in headers(),
    ) -> KeptResponse {
        let status = StatusCode::from_u16(status).unwrap();
        let trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
        KeptResponse { status, headers, body: body.into(), trailers }
    }
}

proptest! {
    #[test]
    fn a_response_survives_its_record(response in responses()) {
        let decoded = KeptResponse::decode(&response.encode().unwrap()).unwrap();
        let sensitive = |headers: &HeaderMap| -> Vec<_> {
            headers.values().map(HeaderValue::is_sensitive).collect()
        };
        prop_assert_eq!(sensitive(&decoded.headers), sensitive(&response.headers));
        prop_assert_eq!(decoded, response);
    }

    #[test]
    fn a_response_that_is_cut_anywhere_is_truncated(
        response in responses(), cut in any::<prop::sample::Index>(),
    ) {
        let record = response.encode().unwrap();
        let cut = record.slice(..cut.index(record.len()));
        prop_assert_eq!(KeptResponse::decode(&cut), Err(KeptResponseError::Truncated));
    }
}

/// Ten million inputs that look ever more like a record: random bytes, a right head with random
/// bytes behind it, and records with up to three bytes changed. Whatever is read is what would be
/// written and read again.
#[test]
fn no_input_makes_the_decoder_panic_or_read_what_was_not_written() {
    use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};

    const INPUTS: u32 = 10_000_000;
    let mut whole = response("body", &[(LINK, "a"), (LINK, "b")]);
    whole.trailers = Some(map(&[(LINK, "c")]));
    let whole = whole.encode().unwrap();
    let mut rng = SmallRng::seed_from_u64(0x4852);
    let (mut bytes, mut read, mut errors) = (Vec::new(), 0_u32, [0_u32; 4]);
    for n in 0..INPUTS {
        bytes.clear();
        if n % 4 < 2 {
            bytes.resize(rng.random_range(0..40), 0);
            rng.fill_bytes(&mut bytes);
            if n % 4 == 1 && bytes.len() > 7 {
                bytes[..7].copy_from_slice(b"HR\x01\x00\xc8\x00\x01");
                bytes[6] = rng.random_range(0..3);
            }
        } else {
            bytes.extend_from_slice(&whole);
            for _ in 0..rng.random_range(0..4) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = if rng.random() { rng.random() } else { rng.random_range(0..8) };
            }
        }
        let record = Bytes::from(std::mem::take(&mut bytes));
        match KeptResponse::decode(&record) {
            Ok(response) => {
                let written = response.encode().unwrap();
                // Lines of other names may stand between those of one.
                if written != record {
                    assert_eq!(KeptResponse::decode(&written), Ok(response), "{record:?}");
                }
                read += 1;
            }
            Err(KeptResponseError::NoResponse) => errors[0] += 1,
            Err(KeptResponseError::UnknownVersion { .. }) => errors[1] += 1,
            Err(KeptResponseError::Truncated) => errors[2] += 1,
            Err(KeptResponseError::Corrupt) => errors[3] += 1,
        }
        bytes = record.into();
    }
    assert!(read > INPUTS / 100, "{read}: inputs reach all of the decoder");
    assert!(errors.iter().all(|count| *count > INPUTS / 1000), "{errors:?}: and each of its ends");
}

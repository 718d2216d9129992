//! The same random calls of `cjson`, `cmsgpack`, `struct` and `bit` in `redis-server` and in this server: the same results
//! and errors have to come back.
//!
//! Each call is a script of its own, which shows all that comes of it in a way that does not depend on the order of keys.

use super::harness::Server;
use crate::common::lua::{Keys, bytes, format, json, message_pack, number, quote, value};
use crate::common::redis::RedisServer;
use crate::common::resp::Reply;
use crate::common::rng::Rng;
use std::fmt::Write;

/// Calls of each kind; the environment variable asks for more.
const CALLS: usize = 1_500;

/// Shows values in one way in Lua 5.1 and 5.4.
const SHOW: &str = "local function show(v)
  local t = type(v)
  if t == 'number' then if v ~= v then return 'nan' end return string.format('%.17g', v) end
  if t == 'string' then return #v .. ':' .. v end
  if t ~= 'table' then return tostring(v) end
  local parts = {}
  for k, e in pairs(v) do parts[#parts + 1] = show(k) .. '=' .. show(e) end
  table.sort(parts)
  return '{' .. table.concat(parts, ',') .. '}'
end
local function all(...)
  local parts = {}
  for i = 1, select('#', ...) do parts[i] = show((select(i, ...))) end
  return table.concat(parts, ' ')
end
";

#[test]
fn json_is_written_as_by_redis() {
    compare(|random| {
        let value = value(random, Keys::One, 4);
        call(random, "cjson.encode", &[value])
    });
    // The order of many keys is Lua's own: here what is read back is compared.
    compare(|random| {
        let value = value(random, Keys::Many, 5);
        format!("return all(cjson.decode(cjson.encode({value})))")
    });
}

#[test]
fn json_is_read_as_by_redis() {
    compare(|random| {
        let text = quote(&json(random));
        call(random, "cjson.decode", &[text])
    });
    compare(|random| {
        let text = quote(&json(random));
        // Lua 5.4 prints a point in what Lua 5.1 prints as -0, and in what 14 digits show as an integer and is none.
        let shown = "type(v) == 'number' and (v == 0 or v % 1 ~= 0) and 'number' or type(v) == 'table' and 'table'";
        let shown = format!("{shown} or tostring(v)");
        format!("local v = cjson.decode({text}) return {shown}")
    });
}

#[test]
fn settings_of_json_are_those_of_redis() {
    const SETTINGS: [&str; 7] = [
        "encode_sparse_array",
        "encode_max_depth",
        "decode_max_depth",
        "encode_number_precision",
        "encode_keep_buffer",
        "encode_invalid_numbers",
        "decode_invalid_numbers",
    ];
    const ARGUMENTS: [&str; 16] = [
        "true",
        "false",
        "nil",
        "'on'",
        "'off'",
        "'null'",
        "'nil'",
        "0",
        "1",
        "2",
        "3",
        "5.9",
        "'7'",
        "-1",
        "99999999999",
        "{}",
    ];
    compare(|random| {
        let mut body = String::from("local shown = {} local cjson = cjson.new() ");
        for _ in 0..random.below(4) {
            let setting = random.pick(&SETTINGS).to_string();
            let arguments: Vec<&str> = (0..random.below(4))
                .map(|_| random.pick(&ARGUMENTS))
                .collect();
            let arguments = arguments.join(",");
            let comma = if arguments.is_empty() { "" } else { "," };
            let call = if random.one_in(4) {
                format!("cjson.{setting}({arguments})")
            } else {
                format!("pcall(cjson.{setting}{comma}{arguments})")
            };
            write!(body, "shown[#shown + 1] = all({call}) ").expect("a string grows");
        }
        let use_of_it = if random.one_in(2) {
            format!("cjson.encode, {}", value(random, Keys::One, 4))
        } else {
            format!("cjson.decode, {}", quote(&json(random)))
        };
        body + &format!("return all(shown, pcall({use_of_it}))")
    });
}

#[test]
fn message_pack_is_that_of_redis() {
    compare(|random| {
        let values: Vec<String> = (0..random.below(4))
            .map(|_| value(random, Keys::One, 4))
            .collect();
        call(random, "cmsgpack.pack", &values)
    });
    compare(|random| {
        let value = value(random, Keys::Many, 5);
        format!("return all(cmsgpack.unpack(cmsgpack.pack({value}, {{{value}}})))")
    });
    compare(|random| {
        let data = quote(&message_pack(random));
        let offset = random.between(-2, 30).to_string();
        let limit = random.between(-1, 4).to_string();
        match random.below(4) {
            0 => call(random, "cmsgpack.unpack_one", &[data]),
            1 => call(random, "cmsgpack.unpack_one", &[data, offset]),
            2 => call(random, "cmsgpack.unpack_limit", &[data, limit, offset]),
            _ => call(random, "cmsgpack.unpack", &[data]),
        }
    });
}

#[test]
fn structures_are_those_of_redis() {
    compare(|random| {
        let mut arguments = vec![quote(format(random).as_bytes())];
        for _ in 0..random.below(9) {
            arguments.push(match random.below(8) {
                // Lua 5.1 reads a number in front of a zero byte.
                0 => quote(&[b"q", &bytes(random, 12)[..]].concat()),
                1 => random
                    .pick(&["nil", "true", "'12'", "1/0", "-1/0", "0/0", "1e30"])
                    .into(),
                _ => number(random),
            });
        }
        call(random, "struct.pack", &arguments)
    });
    compare(|random| {
        let format = quote(format(random).as_bytes());
        let data = quote(&bytes(random, 90));
        let offset = random.between(-1, 12).to_string();
        match random.below(3) {
            0 => call(random, "struct.size", &[format]),
            1 => call(random, "struct.unpack", &[format, data, offset]),
            _ => call(random, "struct.unpack", &[format, data]),
        }
    });
}

#[test]
fn bits_are_those_of_redis() {
    const FUNCTIONS: [&str; 12] = [
        "tobit", "tohex", "bnot", "band", "bor", "bxor", "lshift", "rshift", "arshift", "rol",
        "ror", "bswap",
    ];
    compare(|random| {
        let function = format!("bit.{}", random.pick(&FUNCTIONS));
        let arguments: Vec<String> = (0..random.below(5))
            .map(|_| match random.below(12) {
                0 => random
                    .pick(&["nil", "true", "'12'", "'x'", "{}", "1/0", "0/0", "'0x10'"])
                    .into(),
                _ => number(random),
            })
            .collect();
        call(random, &function, &arguments)
    });
}

/// Where Redis ran out of its stack, or ran into memory that was not its own.
#[test]
fn what_is_too_deep_or_too_long_is_refused_as_by_redis() {
    const BODIES: [&str; 21] = [
        "cjson.encode_max_depth(1e6) local t = {} for i = 1, 9000 do t = {t} end return #cjson.encode(t)",
        "cjson.encode_max_depth(1e6) local t = {} for i = 1, 9000 do t = {a = t} end return #cjson.encode(t)",
        "cjson.encode_max_depth(1000) local t = {} for i = 1, 999 do t = {t} end return #cjson.encode(t)",
        "cjson.encode_max_depth(1000) local t = {} for i = 1, 1000 do t = {t} end return #cjson.encode(t)",
        "cjson.decode_max_depth(1e6) return cjson.decode(('['):rep(9000))",
        "cjson.decode_max_depth(1e6) return cjson.decode(('{\"a\":'):rep(9000))",
        "cjson.decode_max_depth(1000) return cjson.decode(('['):rep(1001))",
        "cjson.decode_max_depth(1000) return #cjson.decode(('['):rep(1000) .. (']'):rep(1000))",
        "return #cjson.encode(('\\1'):rep(100000))",
        "return cmsgpack.unpack(('\\145'):rep(9000))",
        "return cmsgpack.unpack(('\\129\\1'):rep(9000))",
        "return cmsgpack.unpack(('\\129'):rep(9000))",
        "return cmsgpack.unpack(('a'):rep(9000))",
        "return #{cmsgpack.unpack(('a'):rep(7000))}",
        "return cmsgpack.unpack('\\221\\255\\255\\255\\255')",
        "local t = {} for i = 1, 20 do t = {t} end return cmsgpack.pack(t)",
        "local t = {} for i = 1, 4001 do t[i] = i end return #cmsgpack.pack(unpack(t))",
        "return struct.unpack('c2147483647', 'abc')",
        "return struct.pack('c2147483648', 'abc')",
        "return struct.unpack(('b'):rep(9000), ('x'):rep(9000))",
        "return struct.size(('c2147483647'):rep(100)) % 1000000",
    ];
    let mut bodies = BODIES.iter();
    compare_all(BODIES.len(), |_| {
        bodies.next().expect("as many as are asked for").to_string()
    });
}

#[test]
fn functions_of_a_library_have_them_too() {
    let code = "#!lua name=extensions
redis.register_function('all', function(keys, args)
  local packed = cmsgpack.pack(cjson.decode(args[1]), bit.tobit(7), struct.pack('>h', 7))
  return cjson.encode({cmsgpack.unpack(packed)})
end)";
    let redis = RedisServer::start();
    let ours = Server::start(&["--lua-dialect", "redis"]);
    let answers = [redis.client(), ours.client()].map(|mut client| {
        client.call(&["FUNCTION", "LOAD", code]);
        client.call(&["FCALL", "all", "0", "[1,{\"a\":2.5}]"]).reply
    });
    let expected = Reply::Bulk(b"[[1,{\"a\":2.5}],7,\"\\u0000\\u0007\"]".to_vec());
    assert_eq!(answers, [expected.clone(), expected]);
}

/// No digit of a number is lost, and no empty array.
#[test]
fn in_dialect_aikv_all_values_read_back_as_themselves() {
    let mut random = Rng::new(Rng::seed_from_env("AIKV_ORACLE_SEED"));
    let server = Server::start(&[]);
    let mut client = server.client();
    for _ in 0..CALLS {
        let value = value(&mut random, Keys::Many, 5);
        // MessagePack has one kind of nothing, which leaves a hole.
        let whole = value.replace("cjson.null", "cjson.empty_array");
        let packed = value.replace("cjson.null", "true");
        let script = format!(
            "{SHOW}cjson.encode_number_precision(17) local text = cjson.encode({{{whole}}})
            local back = cjson.encode(cjson.decode(text))
            return {{show({value}) == show(cjson.decode(cjson.encode({value}))), #text == #back,
                show({packed}) == show((cmsgpack.unpack(cmsgpack.pack({packed}))))}}"
        );
        let reply = client.call(&["EVAL", &script, "0"]).reply;
        let yes = vec![Reply::Integer(1); 3];
        assert_eq!(reply, Reply::Array(yes), "{value}");
    }
}

/// The function with its arguments, called so that an error names both, or so that it is a value.
fn call(random: &mut Rng, function: &str, arguments: &[String]) -> String {
    let arguments = arguments.join(",");
    match random.below(3) {
        0 => format!("return all({function}({arguments}))"),
        1 => format!("local r = {function}({arguments}) return show(r)"),
        _ if arguments.is_empty() => format!("return all(pcall({function}))"),
        _ => format!("return all(pcall({function},{arguments}))"),
    }
}

fn compare(body: impl FnMut(&mut Rng) -> String) {
    let calls =
        std::env::var("AIKV_ORACLE_REQUESTS").map_or(CALLS, |text| text.parse().expect("a number"));
    let refused = compare_all(calls, body);
    println!("{calls} calls compared, {refused} of them refused");
}

/// How many of the calls were refused.
fn compare_all(calls: usize, mut body: impl FnMut(&mut Rng) -> String) -> usize {
    let mut random = Rng::new(Rng::seed_from_env("AIKV_ORACLE_SEED"));
    let redis = RedisServer::start();
    let ours = Server::start(&["--lua-dialect", "redis"]);
    let (mut redis, mut ours) = (redis.client(), ours.client());
    let mut refused = 0;
    for _ in 0..calls {
        let body = body(&mut random);
        let script = format!("{SHOW}{body}");
        let args = ["EVAL", &script, "0"];
        let (expected, answer) = (redis.call(&args), ours.call(&args));
        assert!(
            expected.raw == answer.raw,
            "a difference in {body}\n  redis: {}\n  ours:  {}",
            expected.raw.escape_ascii(),
            answer.raw.escape_ascii()
        );
        let is_refused = match &answer.reply {
            Reply::Error(_) => true,
            Reply::Bulk(text) => text.starts_with(b"false "),
            _ => false,
        };
        refused += usize::from(is_refused);
    }
    refused
}

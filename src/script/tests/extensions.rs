//! `cjson`, `cmsgpack`, `struct`, `bit`: what is not compared with `redis-server` elsewhere. Dialect `aikv`, what one script
//! leaves to the next, limits, and values that broke servers before.

use super::*;

fn check(dialect: Dialect, cases: &[(&str, &str)]) {
    let mut bench = Bench::new(dialect);
    for (body, expected) in cases {
        assert_eq!(bench.value(body), bulk(expected), "{body}");
    }
}

/// The body runs to an error whose text begins so.
fn check_errors(dialect: Dialect, cases: &[(&str, &str)]) {
    let mut bench = Bench::new(dialect);
    for (body, expected) in cases {
        let error = bench.error(body);
        assert!(error.starts_with(expected), "{body}: {error}");
    }
}

#[test]
fn integers_stay_integers_in_dialect_aikv() {
    check(
        Dialect::Aikv,
        &[
            (
                "return cjson.encode({9007199254740993, 1000000000000000, 1e15, 1.0, 0.1})",
                "[9007199254740993,1000000000000000,1e+15,1,0.1]",
            ),
            (
                "return math.type(cjson.decode('1')) .. math.type(cjson.decode('1.0')) .. math.type(cjson.decode('1e2'))",
                "integerfloatfloat",
            ),
            (
                "return tostring(cjson.decode('-9223372036854775808')) .. tostring(cjson.decode('9223372036854775808'))",
                "-92233720368547758089.2233720368548e+18",
            ),
            (
                "return cjson.encode(cjson.decode('[-0,9223372036854775807]'))",
                "[-0,9223372036854775807]",
            ),
            (
                "cjson.encode_number_precision(17) return cjson.encode(0.1 + 0.2)",
                "0.30000000000000004",
            ),
            (
                "return tostring(cmsgpack.unpack(cmsgpack.pack(9007199254740993)))",
                "9007199254740993",
            ),
            (
                "return math.type(cmsgpack.unpack(cmsgpack.pack(0.5))) .. tostring(cmsgpack.unpack('\\xcf' .. ('\\xff'):rep(8)))",
                "float1.844674407371e+19",
            ),
            (
                "return tostring(struct.unpack('l', struct.pack('l', math.mininteger + 1)))",
                "-9223372036854775807",
            ),
            (
                "return tostring(struct.unpack('L', struct.pack('l', -1)))",
                "1.844674407371e+19",
            ),
            ("return tostring(bit.tobit(0x7ffffffffffffff1))", "-15"),
        ],
    );
}

#[test]
fn numbers_print_as_in_lua_5_1_in_dialect_redis() {
    check(
        Dialect::Redis,
        &[
            (
                "return tostring(cjson.decode('1')) .. ' ' .. tostring(cjson.decode('1e3')) .. ' ' .. tostring(cjson.decode('2.50'))",
                "1 1000 2.5",
            ),
            ("return tostring(cjson.decode('1000000000000000'))", "1e+15"),
            (
                "return cjson.encode({1, 1e15, 2^53, 10 / 2})",
                "[1,1e+15,9.007199254741e+15,5]",
            ),
            ("return struct.pack('s', 10 / 2)", "5\0"),
            (
                "return tostring(cmsgpack.unpack(cmsgpack.pack(10 / 2)))",
                "5",
            ),
            (
                "return tostring((struct.unpack('d', struct.pack('d', 7))))",
                "7",
            ),
        ],
    );
}

#[test]
fn an_empty_array_is_no_empty_object() {
    check(
        Dialect::Aikv,
        &[
            (
                "return cjson.encode(cjson.decode('{\"a\":[],\"b\":{}}').a)",
                "[]",
            ),
            (
                "return cjson.encode(cjson.decode('[[],{},[[]]]'))",
                "[[],{},[[]]]",
            ),
            ("return cjson.encode({})", "{}"),
            (
                "return cjson.encode(setmetatable({}, cjson.array_mt))",
                "[]",
            ),
            (
                "return cjson.encode({cjson.empty_array, cjson.null})",
                "[[],null]",
            ),
            (
                "local t = cjson.decode('[]') t[1] = 'x' return cjson.encode(t)",
                "[\"x\"]",
            ),
            (
                "local t = cjson.decode('[]') t.a = 'x' return cjson.encode(t)",
                "{\"a\":\"x\"}",
            ),
            (
                "local t = cjson.decode('[1]') table.remove(t) return cjson.encode(t)",
                "{}",
            ),
            (
                "cjson.decode_array_with_array_mt(true) local t = cjson.decode('[1]') table.remove(t) return cjson.encode(t)",
                "[]",
            ),
            // Redis itself would take so many holes for a mistake.
            (
                "local t = setmetatable({[12] = 1}, cjson.array_mt) return cjson.encode(t)",
                "[null,null,null,null,null,null,null,null,null,null,null,1]",
            ),
        ],
    );
    check(
        Dialect::Redis,
        &[
            ("return cjson.encode(cjson.decode('[[],{}]'))", "[{},{}]"),
            (
                "return tostring(cjson.array_mt) .. tostring(cjson.empty_array) .. tostring(getmetatable(cjson.decode('[]')))",
                "nilnilnil",
            ),
        ],
    );
}

#[test]
fn an_instance_has_settings_of_its_own() {
    for dialect in [Dialect::Aikv, Dialect::Redis] {
        check(
            dialect,
            &[
                (
                    "local own = cjson.new() own.encode_number_precision(3) return own.encode(1 / 3) .. ' ' .. cjson.encode(1 / 3)",
                    "0.333 0.33333333333333",
                ),
                (
                    "cjson.encode_number_precision(3) return cjson.new().encode(1 / 3) .. ' ' .. cjson.encode(1 / 3)",
                    "0.33333333333333 0.333",
                ),
                (
                    "local own = cjson.new() own.encode = function() return 'mine' end return own.encode() .. type(own.new().encode)",
                    "minefunction",
                ),
                (
                    "local own = cjson.new() return tostring(own.null == cjson.null) .. own._NAME .. own._VERSION",
                    "truecjson2.1.0",
                ),
            ],
        );
        // Redis keeps a setting for all scripts that come after.
        let mut bench = Bench::new(dialect);
        bench.value("cjson.encode_number_precision(3) cjson.encode_max_depth(5) return 1");
        assert_eq!(
            bench.value("return cjson.encode(1 / 3) .. ' ' .. cjson.encode_max_depth()"),
            bulk("0.33333333333333 1000")
        );
    }
}

/// CVE-2018-11218: nested deeper than the stack.
#[test]
fn message_pack_is_not_believed() {
    for dialect in [Dialect::Aikv, Dialect::Redis] {
        check_errors(
            dialect,
            &[
                (
                    "return cmsgpack.unpack(('\\x91'):rep(100000))",
                    "ERR user_script:1: stack overflow (",
                ),
                (
                    "return cmsgpack.unpack(('\\x81\\x01'):rep(100000))",
                    "ERR user_script:1: stack overflow (",
                ),
                (
                    "return cmsgpack.unpack('\\xdd\\xff\\xff\\xff\\xff')",
                    "ERR user_script:1: Missing bytes in input.",
                ),
                (
                    "return cmsgpack.unpack('\\xdb\\xff\\xff\\xff\\xffab')",
                    "ERR user_script:1: Missing bytes in input.",
                ),
                (
                    "return cmsgpack.unpack_one('abc', 4)",
                    "ERR user_script:1: Start offset 4 greater than input length 3.",
                ),
            ],
        );
    }
}

/// CVE-2018-11219 and CVE-2020-14147: sizes that overflow.
#[test]
fn formats_are_not_believed() {
    for dialect in [Dialect::Aikv, Dialect::Redis] {
        check_errors(
            dialect,
            &[
                (
                    "return struct.pack('i2147483648', 1)",
                    "ERR user_script:1: integral size overflow",
                ),
                (
                    "return struct.pack('i18446744073709551617', 1)",
                    "ERR user_script:1: integral size overflow",
                ),
                (
                    "return struct.pack('i33', 1)",
                    "ERR user_script:1: integral size 33 is larger than limit of 32",
                ),
                (
                    "return struct.unpack('c2147483647', 'abc', 3)",
                    "ERR user_script:1: bad argument #2 to 'unpack' (data string too short)",
                ),
                (
                    "return struct.unpack('c1', 'abc', -9223372036854775807)",
                    "ERR user_script:1: bad argument #2 to 'unpack' (data string too short)",
                ),
                (
                    "return struct.unpack('dc0', struct.pack('d', 2^62))",
                    "ERR user_script:1: bad argument #2 to 'unpack' (data string too short)",
                ),
                (
                    "return struct.unpack('dc0', struct.pack('d', -1))",
                    "ERR user_script:1: bad argument #2 to 'unpack' (data string too short)",
                ),
            ],
        );
    }
}

#[test]
fn numbers_and_strings_at_the_edge_harm_nobody() {
    for dialect in [Dialect::Aikv, Dialect::Redis] {
        // CVE-2024-31449: the number whose negative is itself.
        check(
            dialect,
            &[
                ("return bit.tohex(255, -2147483648)", "000000FF"),
                (
                    "return bit.tohex(255, 2147483647) .. bit.tohex(255, 2147483648) .. bit.tohex(-1, 0)",
                    "000000ff000000FF",
                ),
            ],
        );
        // CVE-2022-24834: a string whose escapes overflowed the length of the buffer.
        check(
            dialect,
            &[
                (
                    "return tostring(#cjson.encode(('\\1'):rep(1000000)))",
                    "6000002",
                ),
                (
                    "return tostring(#cjson.decode('\"' .. ('\\\\u20ac'):rep(100000) .. '\"'))",
                    "300000",
                ),
            ],
        );
    }
}

/// What a script gathers counts as its memory, also where a small value describes a large text.
#[test]
fn results_that_are_too_large_end_the_script() {
    let mut bench = Bench::new(Dialect::Aikv);
    for body in [
        "return cjson.encode(('\\1'):rep(4 << 20))",
        "local t = 'x' for i = 1, 40 do t = {t, t} end return cjson.encode(t)",
        "cjson.encode_sparse_array(false, 0) return cjson.encode({[1 << 30] = 1})",
        "local s = ('x'):rep(1 << 20) local t = {} for i = 1, 30 do t[i] = s end return cmsgpack.pack(t)",
        "local s, t = ('x'):rep(1 << 20), {} for i = 1, 30 do t[i] = s end return struct.pack(('s'):rep(30), table.unpack(t))",
        "return cjson.decode('[' .. ('[],'):rep(1000000) .. '1]')",
        "return cmsgpack.unpack('\\xdd\\0\\xff\\xff\\xff' .. ('\\x90'):rep(1000000))",
    ] {
        let error = bench.error(body);
        assert!(error.contains("not enough memory"), "{body}: {error}");
    }
    assert_eq!(bench.value("return cjson.encode({1})"), bulk("[1]"));
}

/// Suspended in the middle, again and again, a call comes to the right end; and it can be killed.
#[test]
fn long_calls_give_way() {
    for (body, result) in [
        ("local t = {} for i = 1, 300000 do t[i] = i end return #cjson.encode(t) .. ''", "1988896"),
        ("return #cjson.decode('[' .. ('1,'):rep(200000) .. '1]') .. ''", "200001"),
        ("local t = {} for i = 1, 200000 do t[i] = i end return #cmsgpack.unpack(cmsgpack.pack(t)) .. ''", "200000"),
        ("return #struct.pack(('x'):rep(3000000)) .. ''", "3000000"),
        ("return struct.size(('x'):rep(3000000)) .. ''", "3000000"),
        ("return struct.unpack(('x'):rep(3000000), ('x'):rep(3000000)) .. ''", "3000001"),
        // A table that was large once is slow to walk through, and takes two bytes.
        ("local t = {} for i = 1, 100000 do t['k' .. i] = i end for k in pairs(t) do t[k] = nil end
            local l = {} for i = 1, 100 do l[i] = t end return #cjson.encode(l) + #cmsgpack.pack(l) .. ''", "404"),
    ] {
        let (value, slices) = Bench::new(Dialect::Aikv).value_in_slices(body);
        assert_eq!(value, bulk(result), "{body}");
        assert!(slices >= 2, "{body}: {slices} slices");
    }
    // It would go on for longer than anybody waits.
    let endless =
        "local t = {} for i = 1, 100000 do t['k' .. i] = i end for k in pairs(t) do t[k] = nil end
        for i = 1, 40 do t = {t, t} end return cjson.encode(t)";
    let bench = Bench::new(Dialect::Aikv);
    let mut host = Toy::default();
    let mut run = bench.start(endless, &[], &[]);
    let mut out = Recorder::new(Protocol::Resp2);
    for _ in 0..20 {
        assert_eq!(run.resume(&mut host, &mut out), Step::Preempted);
    }
    run.kill_handle().kill();
    let end = run.resume(&mut host, &mut out);
    assert_eq!(end, Step::Aborted(AbortReason::Killed));
}

/// Inside of a callback of `gsub`, which gathers a string too.
#[test]
fn libraries_can_be_used_inside_of_other_functions() {
    check(
        Dialect::Aikv,
        &[
            ("return (('ab'):gsub('.', function(c) return cjson.encode({c}) .. struct.pack('s', c) end))", "[\"a\"]a\0[\"b\"]b\0"),
            ("local t = setmetatable({}, {__index = function(_, i) return cjson.encode(cmsgpack.unpack(cmsgpack.pack({i}))) end})
                return table.concat(t, ',', 1, 3)", "[1],[2],[3]"),
        ],
    );
}

#[test]
fn the_clock_goes_forward() {
    let mut bench = Bench::new(Dialect::Redis);
    let body = "local before = os.clock() local n = 0 for i = 1, 1e5 do n = n + i end
        local names = {} for name in pairs(os) do names[#names + 1] = name end
        return tostring(os.clock() > before and before > 0) .. table.concat(names)";
    assert_eq!(bench.value(body), bulk("trueclock"));
    check_errors(
        Dialect::Aikv,
        &[(
            "return os.clock()",
            "ERR user_script:1: Script attempted to access nonexistent global variable 'os'",
        )],
    );
}

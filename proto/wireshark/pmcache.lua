-- pmcache: the datagrams of a pmcache cluster (proto/PROTOCOL.md), for Wireshark and tshark.
--
--     tshark -X lua_script:proto/wireshark/pmcache.lua -i lo -f "udp port 8083"
--
-- Decodes UDP port 8083, and on other ports what looks like one of these datagrams. Tags are shown, not checked: that takes the secret.

local pmcache = Proto("pmcache", "pmcache cluster")

local TYPES = {
	[1] = "HELLO", [2] = "QUERY", [3] = "HINT", [4] = "PING", [6] = "INVALIDATE", [7] = "BYE", [8] = "ERR",
	[65] = "HELLO_BACK", [66] = "REPLY", [68] = "PONG", [70] = "INVALIDATED",
}
local STATUSES = {
	[0] = "MISS", [1] = "HIT", [2] = "PENDING", [3] = "NOFETCH", [4] = "DENIED", [5] = "STALE", [6] = "BUSY", [7] = "VARY",
	[8] = "LOCATED", [9] = "GRANT", [10] = "INTENDED",
}
local OPERATIONS = {
	[1] = "STORED", [2] = "EVICTED", [3] = "PROGRESS", [4] = "FAILED", [5] = "NOT_THERE", [6] = "HOLDING",
}
local ROLES = { [1] = "edge", [2] = "parent" }
local STATES = { [1] = "up", [2] = "starting", [3] = "stopping", [4] = "disk full" }
local MODES = { [1] = "asks all", [2] = "asks homes" }
local FAULTS = { [1] = "version", [2] = "unknown boot", [3] = "critical field", [4] = "rate" }
local REASONS = { [1] = "stops", [2] = "restarts" }
local KINDS = {
	[1] = "URL", [2] = "prefix", [3] = "host", [4] = "everything", [5] = "class", [6] = "digest", [7] = "deny", [8] = "allow",
	[0x11] = "soft URL", [0x12] = "soft prefix", [0x13] = "soft host", [0x14] = "soft everything", [0x15] = "soft class",
	[0x16] = "soft digest",
}

local fields = {}

local function number(abbr, name, bits, words)
	fields[abbr] = ProtoField["uint" .. bits]("pmcache." .. abbr, name, base.DEC, words)
end

local function hex(abbr, name, bits)
	fields[abbr] = ProtoField["uint" .. bits]("pmcache." .. abbr, name, base.HEX)
end

local function bytes(abbr, name)
	fields[abbr] = ProtoField.bytes("pmcache." .. abbr, name)
end

local function text(abbr, name)
	fields[abbr] = ProtoField.string("pmcache." .. abbr, name)
end

number("version", "Version", 8)
number("type", "Type", 8, TYPES)
number("kid", "Key id", 8)
hex("src", "From", 32)
hex("dst", "To", 32)
hex("boot", "Boot", 64)
number("seq", "Sequence number", 64)
bytes("tag", "Tag")
bytes("body", "Body")

hex("qid", "Question", 64)
hex("nonce", "Nonce", 64)
bytes("echo", "Echo of a challenge")
bytes("challenge", "Challenge")
number("version_min", "Least version", 8)
number("version_max", "Greatest version", 8)
number("role", "Role", 8, ROLES)
hex("caps", "Capabilities", 64)
number("tcp_port", "TCP port", 16)
text("name", "Name")
hex("members", "Members", 64)
number("max_dgram", "Longest datagram", 16)
number("zone", "Zone", 16)
number("budget_ms", "Waits (ms)", 16)
number("hop", "Hops", 8)
number("load", "Load", 8)
number("took_us", "Took (us)", 32)
number("purge_serial", "Newest purge", 64)
number("generation", "Generation", 32)
number("t_us", "Asker's clock (us)", 64)
number("objects", "Objects", 32)
number("state", "State", 8, STATES)
number("mode", "Mode", 8, MODES)
number("serial", "Serial", 64)
number("removed", "Removed", 32)
number("reason", "Reason", 8, REASONS)
number("back_in_s", "Back in (s)", 16)
number("code", "Fault", 8, FAULTS)

bytes("record", "Record")
bytes("key", "Key")
hex("flags", "Flags", 8)
bytes("variant", "Variant")
number("order", "Order", 32)
hex("not_there", "Not there", 32)
number("index", "Record of the question", 8)
number("status", "Status", 8, STATUSES)
text("verdict", "In a word")
number("size", "Size", 64)
bytes("digest", "Digest")
fields.ttl_s = ProtoField.int32("pmcache.ttl_s", "Good for (s)")
number("age_s", "Age (s)", 32)
number("have", "Has", 64)
number("denied", "Reason", 8)
number("wait_ms", "Wait (ms)", 16)
text("vary", "Vary")
bytes("source", "Source")
hex("node", "Node", 32)
number("lease_ms", "Lease (ms)", 16)
number("operation", "Operation", 8, OPERATIONS)
number("bytes", "Bytes", 64)

bytes("purge", "Purge record")
fields.purge_at = ProtoField.uint64("pmcache.purge.at", "Made (ms since 1970)")
fields.purge_kind = ProtoField.uint8("pmcache.purge.kind", "Kind", base.DEC, KINDS)
fields.purge_value = ProtoField.string("pmcache.purge.value", "Value")
fields.purge_signature = ProtoField.bytes("pmcache.purge.signature", "Signature")

bytes("unknown", "Unknown")
number("unknown_key", "Unknown key", 64)

for abbr, word in pairs({ intent = 1, accept_pending = 2, accept_stale = 4, resume = 8, audit = 16, home = 32 }) do
	fields["flag_" .. abbr] = ProtoField.bool("pmcache.flags." .. abbr, abbr, 8, nil, word)
end
local FLAGS = { "intent", "accept_pending", "accept_stale", "resume", "audit", "home" }

pmcache.fields = fields

local experts = {
	malformed = ProtoExpert.new("pmcache.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR),
	critical = ProtoExpert.new("pmcache.critical", "A critical field of a later version: to be dropped",
		expert.group.UNDECODED, expert.severity.WARN),
	later = ProtoExpert.new("pmcache.later", "Of a later version: skipped", expert.group.UNDECODED, expert.severity.NOTE),
}
pmcache.experts = experts

-- ---- msgpack: an element is { kind =, range =, value = } with what is in it: items of an array, pairs of a map ----

local DEPTH = 5

-- How what begins with c0 to df goes on: kind and bytes that follow, or bytes that say how much follows.
local FORMS = {
	[0xc0] = { "nil", 0 }, [0xc2] = { "bool", 0 }, [0xc3] = { "bool", 0 },
	[0xc4] = { "bin", 1 }, [0xc5] = { "bin", 2 }, [0xc6] = { "bin", 4 },
	[0xca] = { "float", 4 }, [0xcb] = { "float", 8 },
	[0xcc] = { "uint", 1 }, [0xcd] = { "uint", 2 }, [0xce] = { "uint", 4 }, [0xcf] = { "uint", 8 },
	[0xd0] = { "int", 1 }, [0xd1] = { "int", 2 }, [0xd2] = { "int", 4 }, [0xd3] = { "int", 8 },
	[0xd9] = { "str", 1 }, [0xda] = { "str", 2 }, [0xdb] = { "str", 4 },
	[0xdc] = { "array", 2 }, [0xdd] = { "array", 4 }, [0xde] = { "map", 2 }, [0xdf] = { "map", 4 },
}

local read_element

local function read_items(tvb, at, stop, n, depth)
	local items = {}
	if n > stop - at or depth > DEPTH then
		return nil
	end
	for i = 1, n do
		items[i], at = read_element(tvb, at, stop, depth)
		if not items[i] then
			return nil
		end
	end
	return items, at
end

-- Of an array, map, str or bin with n elements or bytes, whose head begins at `from` and ends before `at`.
local function read_counted(tvb, kind, from, at, stop, n, depth)
	local e = { kind = kind }
	if kind == "array" or kind == "map" then
		e.items, at = read_items(tvb, at, stop, kind == "map" and 2 * n or n, depth + 1)
		if not e.items then
			return nil
		end
	else
		if n > stop - at then
			return nil
		end
		e.content = n > 0 and tvb(at, n) or nil
		at = at + n
	end
	e.range = tvb(from, at - from)
	return e, at
end

-- The element that begins at `at`, and where it ends; nil when there is none.
function read_element(tvb, at, stop, depth)
	local from, first, form, n = at, nil, nil, nil
	if at >= stop then
		return nil
	end
	first = tvb(at, 1):uint()
	at = at + 1
	if first < 0x80 then
		return { kind = "uint", range = tvb(from, 1), value = tvb(from, 1), small = first }, at
	elseif first < 0x90 then
		return read_counted(tvb, "map", from, at, stop, first - 0x80, depth)
	elseif first < 0xa0 then
		return read_counted(tvb, "array", from, at, stop, first - 0x90, depth)
	elseif first < 0xc0 then
		return read_counted(tvb, "str", from, at, stop, first - 0xa0, depth)
	elseif first >= 0xe0 then
		return { kind = "int", range = tvb(from, 1), value = tvb(from, 1), small = first - 256 }, at
	end
	form = FORMS[first]
	if not form or form[2] > stop - at then
		return nil
	end
	n = form[2]
	if form[1] == "str" or form[1] == "bin" or form[1] == "array" or form[1] == "map" then
		return read_counted(tvb, form[1], from, at + n, stop, tvb(at, n):uint(), depth)
	end
	local e = { kind = form[1], range = tvb(from, 1 + n) }
	if n > 0 then
		e.value = tvb(at, n)
	end
	if form[1] == "uint" then -- beyond 2^53 a number of Lua is not exact
		local wide = n == 8 and e.value:uint64() or nil
		if not wide then
			e.small = e.value:uint()
		elseif wide < UInt64(0, 0x200000) then
			e.small = wide:tonumber()
		end
	elseif form[1] == "int" then
		local v = n <= 4 and e.value:int() or e.value:int64():tonumber()
		e.small = v
		if v >= 0 then -- the same number in another form
			e.kind = "uint"
		end
	end
	return e, at + n
end

local function number_of(e)
	return e and e.small
end

-- ---- what is where ----

-- How an element is shown: the name of a field, and what it must be.
local function u(abbr, bits)
	return { abbr = abbr, kind = "uint", bits = bits }
end

local function b(abbr, length)
	return { abbr = abbr, kind = "bin", length = length }
end

local function s(abbr)
	return { abbr = abbr, kind = "str" }
end

local show_versions, show_queries, show_replies, show_hints, show_purge, show_sources

local HELLO = {
	[1] = u("nonce", 64), [2] = b("echo", 16), [3] = { show = function(...) return show_versions(...) end },
	[4] = u("role", 8), [5] = u("caps", 64), [6] = u("tcp_port", 16), [7] = s("name"), [8] = u("members", 64),
	[9] = u("max_dgram", 16), [10] = u("zone", 16),
}
local PING = {
	[1] = u("nonce", 64), [2] = u("t_us", 64), [3] = u("load", 8), [4] = u("objects", 32), [6] = u("state", 8),
	[8] = u("members", 64), [10] = u("mode", 8), [11] = u("purge_serial", 64),
}
local BODIES = {
	[1] = HELLO,
	[2] = {
		[1] = u("qid", 64), [2] = { show = function(...) return show_queries(...) end }, [3] = u("budget_ms", 16),
		[5] = u("hop", 8),
	},
	[3] = { [1] = u("generation", 32), [2] = { show = function(...) return show_hints(...) end } },
	[4] = PING,
	[6] = { [1] = u("qid", 64), [2] = u("serial", 64), [3] = { show = function(...) return show_purge(...) end } },
	[7] = { [1] = u("reason", 8), [2] = u("back_in_s", 16) },
	[8] = { [1] = u("qid", 64), [2] = u("code", 8), [3] = b("challenge", 16) },
	[65] = HELLO,
	[66] = {
		[1] = u("qid", 64), [2] = { show = function(...) return show_replies(...) end }, [3] = u("load", 8),
		[4] = u("took_us", 32), [6] = u("purge_serial", 64),
	},
	[68] = PING,
	[70] = { [1] = u("qid", 64), [2] = u("serial", 64), [3] = u("removed", 32) },
}

local QUERY_REC = { b("key", 16), u("flags", 8), b("variant", 16), u("order", 32), u("not_there", 32) }
local WHOLE_REC = { u("size", 64), b("digest", 8), { abbr = "ttl_s", kind = "int", bits = 32 }, u("age_s", 32) }
local REPLY_RECS = {
	[0] = {}, [1] = WHOLE_REC, [2] = { u("size", 64), u("have", 64), u("order", 32) }, [3] = {}, [4] = { u("denied", 8) },
	[5] = WHOLE_REC, [6] = { u("wait_ms", 16) }, [7] = { s("vary") },
	[8] = { u("size", 64), { show = function(...) return show_sources(...) end } },
	[9] = { u("lease_ms", 16), u("order", 32) }, [10] = { u("node", 32), u("order", 32) },
}
local HINT_RECS = {
	[1] = { b("key", 16), u("bytes", 64) }, [2] = { b("key", 16) }, [3] = { b("key", 16), u("bytes", 64), u("order", 32) },
	[4] = { b("key", 16) }, [5] = { b("key", 16), u("node", 32) }, [6] = { b("key", 16), u("bytes", 64) },
}
local SOURCE = { u("node", 32), u("load", 8), u("have", 64), u("order", 32) }

-- ---- showing ----

local function malformed(tree, e, what)
	tree:add(fields.unknown, e.range):add_proto_expert_info(experts.malformed, what)
end

local function later(tree, e, what)
	tree:add(fields.unknown, e.range):add_proto_expert_info(experts.later, what)
end

-- An unsigned number as ProtoField wants it: of 64 bits as UInt64.
local function value_of(e, bits)
	if bits == 64 then
		return e.small and UInt64.new(e.small % 2 ^ 32, math.floor(e.small / 2 ^ 32)) or e.value:uint64()
	end
	return e.small
end

local function fits(e, bits)
	if e.kind ~= "uint" then
		return false
	end
	return bits == 64 or (e.small ~= nil and e.small < 2 ^ bits)
end

local function fits_signed(e)
	return e.small and (e.kind == "uint" or e.kind == "int") and e.small >= -2 ^ 31 and e.small < 2 ^ 31
end

-- One element by its description; returns the item, or nil when it does not fit.
local function show(tree, e, as)
	if as.show then
		return as.show(tree, e)
	end
	local field = fields[as.abbr]
	if as.kind == "uint" and fits(e, as.bits) then
		return tree:add(field, e.range, value_of(e, as.bits))
	elseif as.kind == "int" and fits_signed(e) then
		return tree:add(field, e.range, e.small)
	elseif as.kind == "bin" and e.kind == "bin" and e.content and e.content:len() == as.length then
		return tree:add(field, e.content)
	elseif as.kind == "str" and e.kind == "str" then
		return tree:add(field, e.range, e.content and e.content:string() or "")
	end
	malformed(tree, e, "not a value of this field")
	return nil
end

local function show_flags(item, e)
	for _, flag in ipairs(FLAGS) do
		item:add(fields["flag_" .. flag], e.range, e.small)
	end
end

-- The elements of an array from the `from`th on, by their descriptions.
local function show_elements(tree, items, from, layout)
	for i = from, #items do
		local as = layout[i - from + 1]
		if as then
			local item = show(tree, items[i], as)
			if item and as.abbr == "flags" then
				show_flags(item, items[i])
			end
		else
			later(tree, items[i], "an element of a later version: skipped")
		end
	end
end

function show_versions(tree, e)
	if e.kind ~= "array" then
		return malformed(tree, e, "not an array")
	end
	show_elements(tree, e.items, 1, { u("version_min", 8), u("version_max", 8) })
end

-- A list of records, each shown by `each`; returns the words for the info column.
local function show_list(tree, e, each)
	local words = {}
	if e.kind ~= "array" then
		malformed(tree, e, "not a list")
		return words
	end
	for i, record in ipairs(e.items) do
		if record.kind ~= "array" then
			malformed(tree, record, "not a record")
		else
			local item = tree:add(fields.record, record.range)
			words[#words + 1] = each(item, record.items, i - 1)
		end
	end
	return words
end

function show_queries(tree, e)
	local words = show_list(tree, e, function(item, items, i)
		item:set_text("Key " .. i)
		show_elements(item, items, 1, QUERY_REC)
		return "key"
	end)
	return #words .. (#words == 1 and " key" or " keys")
end

function show_sources(tree, e)
	show_list(tree, e, function(item, items, i)
		item:set_text("Source " .. i)
		show_elements(item, items, 1, SOURCE)
	end)
end

function show_replies(tree, e)
	return table.concat(show_list(tree, e, function(item, items)
		local status = number_of(items[2]) or 0
		local word = STATUSES[status]
		if items[1] then
			show(item, items[1], u("index", 8))
		end
		if items[2] then
			local shown = show(item, items[2], u("status", 8))
			if shown and not word then
				shown:add_proto_expert_info(experts.later, "an unknown status: a MISS")
			end
		end
		item:add(fields.verdict, word or "MISS"):set_generated()
		item:set_text("Answer " .. (number_of(items[1]) or 0) .. ": " .. (word or "unknown " .. status))
		show_elements(item, items, 3, word and REPLY_RECS[status] or {})
		return word or "unknown(" .. status .. ")"
	end), " ")
end

function show_hints(tree, e)
	return table.concat(show_list(tree, e, function(item, items)
		local operation = number_of(items[1]) or 0
		local word = OPERATIONS[operation]
		if items[1] then
			local shown = show(item, items[1], u("operation", 8))
			if shown and not word then
				shown:add_proto_expert_info(experts.later, "an unknown operation: left out")
			end
		end
		item:set_text(word or "unknown operation " .. operation)
		show_elements(item, items, 2, word and HINT_RECS[operation] or {})
		return word or "unknown(" .. operation .. ")"
	end), " ")
end

-- A purge record has fixed widths.
function show_purge(tree, e)
	local r = e.content
	if e.kind ~= "bin" or not r then
		return malformed(tree, e, "not a purge record")
	end
	local item = tree:add(fields.purge, r)
	local n = r:len() >= 24 and r(22, 2):uint() or -1
	if r:len() ~= 24 + n + 66 or r(0, 2):uint() ~= 0x9601 then
		item:add_proto_expert_info(experts.malformed, "not a purge record")
		return nil
	end
	item:add(fields.serial, r(3, 8))
	item:add(fields.purge_at, r(12, 8))
	item:add(fields.purge_kind, r(20, 1))
	if n > 0 then
		item:add(fields.purge_value, r(24, n))
	end
	item:add(fields.purge_signature, r(26 + n, 64))
	return (KINDS[r(20, 1):uint()] or "unknown kind") .. (n > 0 and " " .. r(24, n):string() or "")
end

-- Returns what goes behind the type in the info column.
local function show_body(tree, body, layout)
	local words = {}
	for i = 1, #body.items, 2 do
		local key, value = body.items[i], body.items[i + 1]
		local n = key.kind == "uint" and (key.small or -1) or nil
		if not n then
			malformed(tree, key, "a key that is no number")
		elseif layout[n] then
			local word = show(tree, value, layout[n])
			if type(word) == "string" then
				words[#words + 1] = word
			end
		else
			local item = tree:add(fields.unknown, value.range)
			local critical = n < 0 or n >= 64
			item:add(fields.unknown_key, key.range, value_of(key, 64))
			item:set_text("Unknown field " .. (n < 0 and "beyond 2^53" or n))
			item:add_proto_expert_info(critical and experts.critical or experts.later)
			if critical then
				words[#words + 1] = "[critical field]"
			end
		end
	end
	return table.concat(words, " ")
end

local HEADS = { [0] = 0x99, [3] = 0xcc, [5] = 0xce, [10] = 0xce, [15] = 0xcf, [24] = 0xcf }

local function is_ours(tvb)
	local n = tvb:len()
	if n < 52 or n > 1400 or tvb(n - 18, 2):uint() ~= 0xc410 then
		return false
	end
	for at, byte in pairs(HEADS) do
		if tvb(at, 1):uint() ~= byte then
			return false
		end
	end
	return tvb(1, 1):uint() < 0x80 and tvb(2, 1):uint() < 0x80
end

local function show_envelope(tree, tvb)
	tree:add(fields.version, tvb(1, 1))
	tree:add(fields.type, tvb(2, 1))
	tree:add(fields.kid, tvb(4, 1))
	tree:add(fields.src, tvb(6, 4))
	tree:add(fields.dst, tvb(11, 4))
	tree:add(fields.boot, tvb(16, 8))
	tree:add(fields.seq, tvb(25, 8))
end

function pmcache.dissector(tvb, pinfo, root)
	if not is_ours(tvb) then
		return 0
	end
	local kind, version = tvb(2, 1):uint(), tvb(1, 1):uint()
	local word = TYPES[kind] or "unknown type " .. kind
	local tree = root:add(pmcache, tvb(), "pmcache cluster, " .. word)
	local n = tvb:len() - 51
	pinfo.cols.protocol = "PMCACHE"
	show_envelope(tree, tvb)
	local item = tree:add(fields.body, tvb(33, n))
	tree:add(fields.tag, tvb(tvb:len() - 16, 16))
	if version ~= 1 then
		item:add_proto_expert_info(experts.later, "another version")
		pinfo.cols.info = "version " .. version .. ", " .. word
		return tvb:len()
	end
	local body, stop = read_element(tvb, 33, 33 + n, 0)
	if not body or stop ~= 33 + n or body.kind ~= "map" then
		item:add_proto_expert_info(experts.malformed, "not one msgpack map")
		pinfo.cols.info = word .. " [malformed]"
		return tvb:len()
	end
	if not BODIES[kind] then
		item:add_proto_expert_info(experts.later, "an unknown type")
		pinfo.cols.info = word
		return tvb:len()
	end
	local words = show_body(item, body, BODIES[kind])
	pinfo.cols.info = word .. (words ~= "" and " " .. words or "")
	return tvb:len()
end

-- On other ports: the version is looked at, too.
pmcache:register_heuristic("udp", function(tvb, pinfo, root)
	if not is_ours(tvb) or tvb(1, 1):uint() ~= 1 then
		return false
	end
	pmcache.dissector(tvb, pinfo, root)
	return true
end)

DissectorTable.get("udp.port"):add(8083, pmcache)

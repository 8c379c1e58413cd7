-- What the gateway does to REST calls beside turning JSON into protobuf and back. `SHAPES` stands above: what each request may hold.
--
-- A body that the transcoder would take in silence, or whose text it would repeat, is refused here: unknown and repeated fields, text
-- that is no JSON, and JSON of another kind than the field's. What is left to the transcoder are numbers, enums and times.

local MAX_DEPTH = 16
local MAX_VALUES = 20000 -- so that no body keeps the gateway busy for long
local MAX_VIOLATIONS = 20
local EXPECTED = {
  string = "must be a string",
  scalar = "must be a single value",
  object = "must be an object",
  list = "must be a list",
}
local META = "convergence.rest"
-- Of a caller's headers only these reach the services, and only as printable ASCII: others a gRPC server may take for an error of its own.
local PASSED = {}
for name in
  string.gmatch(
    "accept content-length content-type expect te transfer-encoding user-agent x-api-key x-correlation-id "
      .. "traceparent tracestate baggage x-forwarded-for x-forwarded-proto x-request-id",
    "%S+"
  )
do
  PASSED[name] = true
end

-- Checks one body. `violations` are texts, in the order of the body; a body that is no JSON raises a text.
local Body = {}
Body.__index = Body

function Body:stop(what)
  error("The body " .. what .. " at byte " .. self.at - 1, 0)
end

function Body:blank()
  self.at = string.find(self.text, "[^ \t\r\n]", self.at) or #self.text + 1
end

function Body:take(character)
  self:blank()
  if string.sub(self.text, self.at, self.at) ~= character then
    return false
  end
  self.at = self.at + 1
  return true
end

-- The raw text between the quotes, escapes as they were written.
function Body:string()
  local from = self.at + 1
  local at = from
  while true do
    at = string.find(self.text, '["\\%z\1-\31]', at)
    local found = at and string.sub(self.text, at, at)
    if found == '"' then
      self.at = at + 1
      return string.sub(self.text, from, at - 1)
    elseif found == "\\" then
      local escaped = string.match(self.text, '^["\\/bfnrt]()', at + 1) or string.match(self.text, "^u%x%x%x%x()", at + 1)
      if not escaped then
        self.at = at
        self:stop("has an escape that JSON does not know")
      end
      at = escaped
    else
      self:stop("has a string without an end")
    end
  end
end

function Body:violation(path, description)
  if #self.violations < MAX_VIOLATIONS then
    table.insert(self.violations, (path == "" and "the body" or path) .. ": " .. description)
  end
end

-- Members up to the closing brace: of a message, whose fields `shape` has, of a map whose values are all the field `each`, or any.
function Body:object(shape, each, path, depth)
  local seen = {}
  if self:take("}") then
    return
  end
  repeat
    self:blank()
    if string.sub(self.text, self.at, self.at) ~= '"' then
      self:stop("is no JSON: a name is missing")
    end
    local name = self:string()
    if not self:take(":") then
      self:stop("is no JSON: a colon is missing")
    end
    local field = each
    local member = path
    if shape then
      field = shape[name]
      member = (path == "" and "" or path .. ".") .. name
      if field == nil then
        local known = string.find(name, "^[%w_-]+$") and #name <= 64
        self:violation(known and member or path, known and "is no field of this request" or "has a member that is no field")
      elseif seen[name] then
        self:violation(member, "is there twice")
      end
      seen[name] = true
      if depth == 1 and name == "request_id" then
        self.repeatable = string.find(self.text, '^[ \t\r\n]*"[^"]', self.at) ~= nil
      end
    end
    self:value(field, member, depth + 1, each)
  until not self:take(",")
  if not self:take("}") then
    self:stop("is no JSON: an object has no end")
  end
end

function Body:array(field, path, depth)
  if self:take("]") then
    return
  end
  repeat
    self:value(field, path, depth + 1, true)
  until not self:take(",")
  if not self:take("]") then
    self:stop("is no JSON: an array has no end")
  end
end

-- A value for a field: "string", "scalar", {list = field}, {map = field}, {of = message}, or nil for anything. null leaves a field unset;
-- `within` a list or a map it means nothing.
function Body:value(field, path, depth, within)
  self.values = self.values + 1
  if depth > MAX_DEPTH or self.values > MAX_VALUES then
    self:stop("is nested too deeply or holds too many values")
  end
  local kind = type(field) == "table" and (field.list and "list" or "object") or field
  local opening = self:take("{") and "object" or self:take("[") and "list"
  if opening then
    if kind and kind ~= opening then
      self:violation(path, EXPECTED[kind])
      field = nil
    end
    if opening == "object" then
      return self:object(field and field.of and SHAPES[field.of], field and field.map, path, depth)
    end
    return self:array(field and field.list, path, depth)
  end
  if string.sub(self.text, self.at, self.at) == '"' then
    self:string()
    if kind == "object" or kind == "list" then
      self:violation(path, EXPECTED[kind])
    end
    return
  end
  local from, to = string.find(self.text, "^[%w.+-]+", self.at)
  if not from then
    self:stop("is no JSON")
  end
  self.at = to + 1
  local null = string.sub(self.text, from, to) == "null"
  if kind and (null and within or not null and kind ~= "scalar") then
    self:violation(path, EXPECTED[kind])
  end
end

local ABOVE_ASCII = {
  "^[\194-\223][\128-\191]()",
  "^\224[\160-\191][\128-\191]()",
  "^[\225-\236\238\239][\128-\191][\128-\191]()",
  "^\237[\128-\159][\128-\191]()",
  "^\240[\144-\191][\128-\191][\128-\191]()",
  "^[\241-\243][\128-\191][\128-\191][\128-\191]()",
  "^\244[\128-\143][\128-\191][\128-\191]()",
}

-- The place of the first byte that is no UTF-8; nil where all is.
local function not_utf8(text)
  local at = string.find(text, "[\128-\255]")
  while at do
    local after
    for _, sequence in ipairs(ABOVE_ASCII) do
      after = after or string.match(text, sequence, at)
    end
    if not after then
      return at
    end
    at = string.find(text, "[\128-\255]", after)
  end
end

-- Why the transcoder may not have the body, nil where it may; and whether the body has a request id.
local function check_body(text, shape)
  local body = setmetatable({ text = text, at = 1, values = 0, violations = {} }, Body)
  local ok, problem = pcall(function()
    body.at = not_utf8(text) or 0
    if body.at > 0 then
      body:stop("is no UTF-8")
    end
    body.at = 1
    if not body:take("{") then
      body:stop("must be a JSON object, which it is not")
    end
    body:object(shape, nil, "", 1)
    body:blank()
    if body.at <= #text then
      body:stop("goes on after its end")
    end
  end)
  if not ok then
    return problem
  end
  if #body.violations > 0 then
    return table.concat(body.violations, "; ")
  end
  return nil, body.repeatable
end

-- Why a query may not be taken. `names` are the fields that may stand in it, between blanks: not those that the path tells, which the
-- transcoder would let it overrule, and none where the body tells the others.
local function check_query(path, names)
  local seen = {}
  for name in string.gmatch(string.match(path, "%?(.*)") or "", "([^&=]+)=?[^&]*") do
    if not string.find(name, "^[%w_]+$") then
      return "The query has a name that is no field of this request"
    elseif not string.find(names, " " .. name .. " ", 1, true) then
      return name .. ": is nothing that the query of this request may hold"
    elseif seen[name] then
      return name .. ": is there twice"
    end
    seen[name] = true
  end
end

local function drop_headers(headers)
  local dropped = {}
  for name, value in pairs(headers) do
    if string.sub(name, 1, 1) ~= ":" and not (PASSED[name] and string.find(value, "^[\32-\126]*$")) then
      table.insert(dropped, name)
    end
  end
  for _, name in ipairs(dropped) do
    headers:remove(name)
  end
end

local function refuse(handle, why)
  handle:respond({ [":status"] = "400" }, why)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  if string.find(headers:get("content-type") or "", "^application/grpc") then
    return
  end
  drop_headers(headers)
  local id = headers:get("x-correlation-id")
  if not id or #id > 64 or not string.find(id, "^[%w._-]+$") then
    id = string.gsub(headers:get("x-request-id") or "", "-", "")
    headers:replace("x-correlation-id", id)
  end
  handle:streamInfo():dynamicMetadata():set(META, "correlation_id", id)
  local allow = handle:metadata():get("allow")
  if allow then
    return handle:respond({ [":status"] = "405", ["allow"] = allow }, "There is no such method: this path allows " .. allow)
  end
  local request = handle:metadata():get("request")
  if not request then
    return -- no path of ours: the transcoder says so
  end
  local problem = check_query(headers:get(":path"), handle:metadata():get("query"))
  if problem then
    return refuse(handle, problem)
  end
  local body = handle:body()
  local text = body and body:getBytes(0, body:length()) or ""
  if text == "" then
    return
  end
  if not SHAPES[request] then
    return refuse(handle, "This method takes no body")
  end
  local repeatable
  problem, repeatable = check_body(text, SHAPES[request])
  if problem then
    return refuse(handle, problem)
  end
  if repeatable then
    headers = handle:headers() -- those from before the body came may not be touched any more
    headers:replace("x-envoy-retry-on", "reset")
    headers:replace("x-envoy-retry-grpc-on", "unavailable")
  end
end

function envoy_on_response(handle)
  local kept = handle:streamInfo():dynamicMetadata():get(META)
  if not kept then
    return -- a gRPC call
  end
  local headers = handle:headers()
  for _, name in ipairs({ "grpc-status", "grpc-message", "grpc-accept-encoding" }) do
    headers:remove(name)
  end
  headers:replace("x-correlation-id", kept["correlation_id"])
  if headers:get(":status") == "200" and handle:metadata():get("stream") then
    headers:replace("content-type", "application/x-ndjson")
  end
end

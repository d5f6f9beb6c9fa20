-- What a platform team would write by hand: the dependency proxy's paths and token requests, asked
-- of the Topology Service once and kept, the same headers stripped and set as the filter does.

local OWNED = {
  "x-cell-cluster", "x-cell-hash-key", "x-cell", "x-cell-rule",
  "x-gitlab-http-router-rule-action", "x-gitlab-http-router-rule-type", "x-forwarded-host",
}
local TTL = 60
local known = {}

local function refuse(handle, status, code, message)
  handle:respond(
    { [":status"] = tostring(status), ["content-type"] = "application/json" },
    '{"errors":[{"code":"' .. code .. '","message":"' .. message .. '"}]}'
  )
end

local function classify(handle, body)
  local entry = known[body]
  if entry and os.time() < entry.fresh_until then
    return entry.cluster
  end
  local headers, answer = handle:httpCall("topology", {
    [":method"] = "POST",
    [":path"] = "/v1/classify",
    [":authority"] = "topology",
    ["content-type"] = "application/json",
  }, body, 1000)
  if headers[":status"] ~= "200" then
    return entry and entry.cluster
  end
  local cluster = string.match(answer, '"address":"([%w._:-]+)"')
  known[body] = { cluster = cluster, fresh_until = os.time() + TTL }
  return cluster
end

local function plain(path)
  return not string.find(path, "[^%w%._%-:+=/]") and not string.find(path, "//", 1, true)
    and not string.find(path, "/%.%.?/")
end

local function namespace_of(path, query)
  local namespace, rest = string.match(path, "^/v2/([^/]+)/.-dependency_proxy/containers/(.+)$")
  if namespace then
    local image, digest = string.match(rest, "^(.+)/manifests/([^/]+)$")
    if not image then
      image, digest = string.match(rest, "^(.+)/blobs/([^/]+)$")
    end
    if image then
      return namespace, string.find(digest, ":", 1, true) and digest or image
    end
  elseif path == "/jwt/auth" then
    return string.match(query, "scope=repository[:%%3A]+([^/:&]+)"), nil
  end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  for _, name in ipairs(OWNED) do
    headers:remove(name)
  end
  if headers:getNumValues("authorization") > 1 then
    return refuse(handle, 400, "UNKNOWN", "send exactly one Authorization header")
  end
  local target = headers:get(":path")
  local path, query = string.match(target, "^([^?]*)%??(.*)$")
  if string.sub(path, 1, 4) == "/v2/" and not plain(path) then
    return refuse(handle, 400, "NAME_INVALID", "the path holds what no name has")
  end
  local namespace, hash_key = namespace_of(path, query)
  local kind, body = "FIRST_CELL", '{"type":"FIRST_CELL"}'
  if namespace then
    kind = "route"
    body = '{"claims":[{"route":"' .. namespace .. '"},{"redirectRoute":"' .. namespace .. '"}]}'
  end
  local cluster = classify(handle, body)
  if not cluster then
    return refuse(handle, 503, "UNAVAILABLE", "no Cell serves this request now; retry")
  end
  -- A call in between makes the former object unusable.
  headers = handle:headers()
  headers:add("x-cell-cluster", cluster)
  headers:add("x-gitlab-http-router-rule-action", "classify")
  headers:add("x-gitlab-http-router-rule-type", kind)
  headers:add("x-forwarded-host", headers:get(":authority"))
  if hash_key then
    headers:add("x-cell-hash-key", hash_key)
  end
end


      export type PossibleTypesResultData = {
  "possibleTypes": {
    "Node": [
      "Actor",
      "AuditEvent",
      "Member",
      "Organization",
      "ProvisioningEvent",
      "ProvisioningRun",
      "ServiceAccount",
      "Tenant"
    ],
    "UserError": [
      "GenericError",
      "InvalidStateError"
    ]
  }
};
      const result: PossibleTypesResultData = {
  "possibleTypes": {
    "Node": [
      "Actor",
      "AuditEvent",
      "Member",
      "Organization",
      "ProvisioningEvent",
      "ProvisioningRun",
      "ServiceAccount",
      "Tenant"
    ],
    "UserError": [
      "GenericError",
      "InvalidStateError"
    ]
  }
};
      export default result;
    
import { screen } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { ResumeTenantDocument } from "../__generated__/graphql";
import { render } from "../testing";
import { Button } from "../ui/button";
import { Problem } from "../ui/notice";
import { useCommand } from "./command";

function ResumeButton() {
  const { send, error } = useCommand(ResumeTenantDocument);
  return (
    <>
      <Button onPress={() => send({ tenantId: "tenant-1" })}>Resume</Button>
      {error && <Problem error={error} />}
    </>
  );
}

test("whatever is thrown inside a command becomes a notice, and the command can be sent again", async () => {
  vi.spyOn(crypto, "randomUUID").mockImplementationOnce(() => {
    throw new TypeError("crypto.randomUUID is not a function");
  });
  const { user, sent } = render(<ResumeButton />, { answers: { ResumeTenant: { resumeTenant: { userErrors: [] } } } });

  await user.click(screen.getByRole("button", { name: "Resume" }));
  expect(screen.getByRole("alert")).toHaveTextContent(/unexpected.*crypto.randomUUID is not a function/);
  expect(sent).toEqual([]);
  await user.click(screen.getByRole("button", { name: "Resume" }));

  expect(sent.map((one) => one.name)).toEqual(["ResumeTenant"]);
  expect(screen.queryByRole("alert")).toBeNull();
});
